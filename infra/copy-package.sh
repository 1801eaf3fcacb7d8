#!/usr/bin/env bash
# Copies the package of a release into the storage account: the deployment script of modules/package.bicep.
# Downloads PACKAGE_URL, redirects included, compares its SHA-256 with PACKAGE_SHA256, or else with the file beside it,
# and uploads it to CONTAINER of the storage account ACCOUNT.
set -euo pipefail

fail() {
    printf 'copy-package: %s\n' "$*" >&2
    exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
package=$work/mati-sync.zip

download() {
    curl --fail --silent --show-error --location --retry 3 --output "$2" "$1" || fail "$1 cannot be downloaded. ${3-}"
}

download "$PACKAGE_URL" "$package" "Deploy with an empty packageUrl and publish the package with the command in the output publishCommand."
if [ -z "$PACKAGE_SHA256" ]; then
    download "$PACKAGE_URL.sha256" "$work/sha256" "Give packageSha256."
    read -r PACKAGE_SHA256 _ <"$work/sha256" || true
fi
read -r sha256 _ < <(sha256sum "$package")
[ "$sha256" = "${PACKAGE_SHA256,,}" ] || fail "$PACKAGE_URL has the SHA-256 $sha256 and not $PACKAGE_SHA256. Nothing was copied."

# A new role takes some minutes to work everywhere.
for pause in 15 30 60 60 60 60 60 0; do
    if az storage blob upload --account-name "$ACCOUNT" -c "$CONTAINER" -n mati-sync.zip -f "$package" \
        --auth-mode login --overwrite --output none; then
        break
    fi
    [ "$pause" -gt 0 ] || fail "the storage account $ACCOUNT did not take the package; the reason stands above."
    sleep "${PAUSE:-$pause}"
done

expiry=$(date -u -d '+2 hours' +%Y-%m-%dT%H:%MZ)
signed=$(az storage blob generate-sas --account-name "$ACCOUNT" -c "$CONTAINER" -n mati-sync.zip --permissions r \
    --expiry "$expiry" --https-only --full-uri --as-user --auth-mode login --output tsv)
printf '{"url": "%s", "signedUrl": "%s"}\n' "${signed%%\?*}" "$signed" >"$AZ_SCRIPTS_OUTPUT_PATH"
echo "copied $PACKAGE_URL ($sha256)"
