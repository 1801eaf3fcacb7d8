#!/usr/bin/env bash
# Lets the app's managed identity write indicators to Microsoft Defender for Endpoint: it gets the application
# permission Ti.ReadWrite.All of the API WindowsDefenderATP. No template can do that, because the right lies in Entra ID
# and not in Azure; giving it is the admin consent at the same time.
#
#   ./grant-defender.sh PRINCIPAL_ID            grants it (output identityPrincipalId of the deployment)
#   ./grant-defender.sh PRINCIPAL_ID --revoke   takes it back
#
# Needed: the Azure CLI, signed in to the tenant of the identity (az login) as Privileged Role Administrator or Global
# Administrator; in the US government's cloud after `az cloud set --name AzureUSGovernment`. May be run again: what is
# granted already stays as it is. Only needed for the destination `defender`.
set -euo pipefail

# The same in every tenant and cloud.
api=fc780465-2017-40d4-a0c5-307022471b92
role=Ti.ReadWrite.All

usage() {
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit "$1"
}

fail() {
    printf 'grant-defender: %s\n' "$*" >&2
    exit 1
}

case "${1:-}" in -h | --help) usage 0 ;; esac
guid='^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
[[ "${1:-}" =~ $guid && ( -z "${2:-}" || "${2:-}" == --revoke ) ]] || usage 1 >&2
principal=$1

command -v az >/dev/null || fail "the Azure CLI is missing: https://aka.ms/azure-cli"
az account show --output none 2>/dev/null || fail "nobody is signed in: az login"

graph=$(az cloud show --query endpoints.microsoftGraphResourceId --output tsv)
graph="${graph%/}/v1.0"

name=$(az rest --method GET --uri "$graph/servicePrincipals/$principal?\$select=displayName" \
    --query displayName --output tsv) || fail "the tenant has no identity with the principal id $principal"

resource=$(az ad sp list --filter "appId eq '$api'" --query '[0].id' --output tsv)
if [ -z "$resource" ]; then
    [ -z "${2:-}" ] || { echo "The tenant does not know Defender's API: nothing to take back."; exit 0; }
    echo "The tenant does not know Defender's API yet; it is made known."
    resource=$(az ad sp create --id "$api" --query id --output tsv) || fail "Defender's API could not be made known"
fi

id=$(az ad sp show --id "$resource" \
    --query "appRoles[?value=='$role' && contains(allowedMemberTypes, 'Application')].id | [0]" --output tsv)
[ -n "$id" ] || fail "Defender's API has no role $role in this tenant: is there a licence of Defender for Endpoint?"

assignments="$graph/servicePrincipals/$principal/appRoleAssignments"
given=$(az rest --method GET --uri "$assignments" \
    --query "value[?appRoleId=='$id' && resourceId=='$resource'].id | [0]" --output tsv)

if [ -n "${2:-}" ]; then
    [ -n "$given" ] || { echo "$name does not have $role: nothing to take back."; exit 0; }
    az rest --method DELETE --uri "$assignments/$given" --output none
    echo "$name no longer has $role."
elif [ -n "$given" ]; then
    echo "$name has $role already: nothing to do."
else
    az rest --method POST --uri "$assignments" --headers Content-Type=application/json --output none \
        --body "{\"principalId\":\"$principal\",\"resourceId\":\"$resource\",\"appRoleId\":\"$id\"}" ||
        fail "not granted; it takes a Privileged Role Administrator or Global Administrator"
    echo "$name has $role now. A token that is in use still lacks it; that may last for some hours."
fi
