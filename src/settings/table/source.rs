//! Where indicators come from, and which of them are wanted.

use super::{Section, secret, setting};

pub const SOURCE: Section = Section {
    title: "Source",
    settings: &[
        setting(
            "SOURCE",
            "mandiant",
            "Where the indicators come from: `mandiant` (Mandiant Advantage, API v4) or `gti` ([Google Threat \
             Intelligence](gti.md)). A source needs its own credentials alone.",
        ),
        secret(
            "MATI_KEY",
            "–",
            "The id of the API key (Mandiant Advantage → Settings → APIv4 Access and Key). The key vault can \
             hold it as `mati-key`.",
        ),
        secret(
            "MATI_SECRET",
            "–",
            "The secret of the API key. The key vault can hold it as `mati-secret`. `MATI_AUTH=apikey` needs \
             none.",
        ),
        setting(
            "MATI_BASE_URL",
            "https://api.intelligence.mandiant.com",
            "The address of the API. `https://www.virustotal.com/api/v3/mati`, Google's API in Mandiant's form, is \
             unproven for this feed: for a key of Google Threat Intelligence set [`SOURCE=gti`](gti.md).",
        ),
        setting(
            "MATI_AUTH",
            "bearer",
            "`bearer` obtains a token with key and secret, `basic` sends both with every request, `apikey` \
             sends `MATI_KEY` in the header `x-apikey`.",
        ),
        secret(
            "GTI_API_KEY",
            "–",
            "The API key of Google Threat Intelligence. The key vault can hold it as `gti-api-key`.",
        ),
        setting(
            "GTI_BASE_URL",
            "https://www.virustotal.com/api/v3",
            "The address of Google Threat Intelligence's API.",
        ),
        setting(
            "GTI_LISTS",
            "–",
            "Ids of the [threat lists](gti.md#lists) to read, with commas between. Without it: every list that the \
             licence gives, found by asking each.",
        ),
        setting(
            "GTI_QUERY",
            "–",
            "A filter that the server applies, as it stands. It hides records that would retract what is held, so \
             prefer the minimums below.",
        ),
        setting(
            "INITIAL_LOOKBACK",
            "30",
            "Days to read back when a lane has no state, 1–89. A minus sign is accepted. A \
             [refresh](lifecycle.md#refresh) reads as far back, and 30 days at least.",
        ),
        setting(
            "MINIMUM_CONFIDENCE",
            "80",
            "The lowest confidence (Mandiant's `mscore`, 0–100) of an indicator that is wanted.",
        ),
        setting(
            "MINIMUM_THREAT_SCORE",
            "80",
            "The lowest threat score (`threat_rating.threat_score`, 0–100). An indicator must meet both \
             minimums.",
        ),
        setting(
            "IP_MINIMUM_CONFIDENCE",
            "–",
            "The minimum confidence of addresses. It wins over `MINIMUM_CONFIDENCE`.",
        ),
        setting(
            "IP_MINIMUM_THREAT_SCORE",
            "–",
            "The minimum threat score of addresses. It wins over `MINIMUM_THREAT_SCORE`.",
        ),
        setting(
            "FQDN_MINIMUM_CONFIDENCE",
            "–",
            "The minimum confidence of domains. It wins over `MINIMUM_CONFIDENCE`.",
        ),
        setting(
            "FQDN_MINIMUM_THREAT_SCORE",
            "–",
            "The minimum threat score of domains. It wins over `MINIMUM_THREAT_SCORE`.",
        ),
        setting(
            "URL_MINIMUM_CONFIDENCE",
            "–",
            "The minimum confidence of URLs. It wins over `MINIMUM_CONFIDENCE`.",
        ),
        setting(
            "URL_MINIMUM_THREAT_SCORE",
            "–",
            "The minimum threat score of URLs. It wins over `MINIMUM_THREAT_SCORE`.",
        ),
        setting(
            "HASH_MINIMUM_CONFIDENCE",
            "–",
            "The minimum confidence of files. It wins over `MINIMUM_CONFIDENCE`.",
        ),
        setting(
            "HASH_MINIMUM_THREAT_SCORE",
            "–",
            "The minimum threat score of files. It wins over `MINIMUM_THREAT_SCORE`.",
        ),
        setting(
            "MISSING_THREAT_SCORE",
            "include",
            "What to do with a record without a threat score: `include` judges it by its confidence alone, \
             `exclude` drops it.",
        ),
        setting(
            "MISSING_CONFIDENCE",
            "include",
            "What to do with a record without any confidence, as Google Threat Intelligence has them: `include` \
             judges it by its threat score alone, `exclude` drops it.",
        ),
        setting(
            "MINIMUM_SEVERITY",
            "–",
            "The lowest severity of an indicator that is wanted: `low`, `medium` or `high`. A record without a \
             severity passes.",
        ),
        setting("EXCLUDE_BENIGN", "true", "Drop what the source, or an analyst of it, calls benign."),
        setting(
            "EXCLUDE_PERVASIVE",
            "true",
            "Drop what the source calls pervasive: popular infrastructure that many share. Mandiant does not say \
             so, Google Threat Intelligence does.",
        ),
        setting("EXCLUDE_OSINT", "true", "Drop an indicator if all its sources are open source."),
        setting("INCLUDE_UNCATEGORIZED", "true", "Keep an indicator that has no category."),
        setting(
            "ATTRIBUTED_ONLY",
            "false",
            "Drop a record that names no threat actor and no malware family. A name that the source withholds (`redacted`) \
             is none.",
        ),
        setting(
            "ACTORS",
            "–",
            "Names of threat actors with commas between, case ignored. Where this or one of the next three is set, a \
             record must match one name of one of them.",
        ),
        setting("MALWARE", "–", "Names of malware families, as `ACTORS`."),
        setting("CAMPAIGNS", "–", "Names or titles of campaigns, as `ACTORS`."),
        setting("CATEGORIES", "–", "Categories, as `ACTORS`."),
        setting(
            "ATTRIBUTION_THRESHOLDS",
            "–",
            "The minimum confidence of what is attributed to a threat actor, malware family or campaign: `FIN7=60, \
             LOCKBIT=70`. The lowest that applies wins over all other minimums of confidence.",
        ),
        setting("INCLUDE_IPV4", "true", "Send IPv4 addresses."),
        setting("INCLUDE_IPV6", "true", "Send IPv6 addresses."),
        setting("INCLUDE_FQDN", "true", "Send domains."),
        setting("INCLUDE_URL", "true", "Send URLs."),
        setting("INCLUDE_HASH", "true", "Send files."),
        setting(
            "HASH_TYPE",
            "sha256",
            "The digests that represent a file at Sentinel, each with an indicator of its own: `md5`, `sha1`, \
             `sha256`, or several with commas between. If a record has none of them, its strongest digest is \
             sent. Microsoft's endpoint rules compare SHA-1 and SHA-256 alone. Defender always gets the strongest.",
        ),
        setting(
            "EXCLUDE",
            "–",
            "Values that are never sent, with commas between: host names with all below them, addresses, ranges, \
             URLs by their beginning, digests. Longer lists are files, see [Exclusions](exclusions.md).",
        ),
        setting(
            "EXCLUDE_VITAL",
            "true",
            "Never send Defender what is on the [built-in list](exclusions.md#the-built-in-list): names and \
             addresses whose block would be an outage of its own.",
        ),
    ],
};
