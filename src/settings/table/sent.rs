//! What is sent, where, and for how long.

use super::{Section, setting};

pub const SENT: Section = Section {
    title: "What is sent",
    settings: &[
        setting(
            "TARGET_APPLICATION",
            "sentinel",
            "The destinations: `sentinel`, `defender`, or both with a comma between. `Azure Sentinel` and \
             `Microsoft Defender ATP` mean the same.",
        ),
        setting(
            "IP_INDICATOR_EXPIRATION",
            "7",
            "Days for which an address is valid, counted from its ingestion, 1–3650.",
        ),
        setting("FQDN_INDICATOR_EXPIRATION", "7", "The same for a domain."),
        setting("URL_INDICATOR_EXPIRATION", "7", "The same for a URL."),
        setting("HASH_INDICATOR_EXPIRATION", "90", "The same for a file."),
        setting(
            "INDICATOR_EXPIRATION",
            "–",
            "The older product's single value for all four types. A specific one wins.",
        ),
        setting(
            "RENEWAL_SLACK",
            "48",
            "Hours that may lie between two good passes before anything lapses that Mandiant still lists; at \
             most half the shortest validity. A longer slack [costs more rows](lifecycle.md#refresh): validity \
             ÷ (validity − slack).",
        ),
        setting(
            "PRICE_PER_GB",
            "–",
            "Your price for a gigabyte of rows, for [`mati-sync cost`](cost.md). The program knows no prices.",
        ),
        setting(
            "DEFAULT_ACTION",
            "alert",
            "`alert`, `block` or `allow`. [At Defender](defender.md#what-is-sent) `alert` reports a match and \
             `block` prevents it too; `allow` is a fault there, because it would exempt malware from \
             protection. Sentinel's objects have no action: it becomes the label `action:…`.",
        ),
        setting(
            "PASSIVE_ONLY",
            "false",
            "`true`: Defender only audits, whatever the action. No endpoint is asked to act.",
        ),
        setting(
            "ENABLE_DEDUPLICATION",
            "true",
            "Skip what the destination holds unchanged. `false` sends every wanted record of each window again, \
             those of every refresh included.",
        ),
        setting(
            "EXPIRE_RETRACTED",
            "true",
            "[Retract](lifecycle.md#retraction) what is held and no longer passes the filters. `false`: it \
             stays until its validity ends, but Defender still loses what a list \
             [excludes](exclusions.md#what-happens-to-what-is-held).",
        ),
        setting(
            "TLP_LEVEL",
            "amber",
            "The marking of every object at Sentinel: `clear`, `green`, `amber`, `red` or `none`.",
        ),
        setting(
            "SOURCE_SYSTEM",
            "Mandiant",
            "The name under which Sentinel lists the source. It is a part of each indicator's identity there: \
             another name means other indicators, and the lane begins anew. So set it before the first pass; with \
             `SOURCE=gti` the default is `Mandiant` too. `Microsoft Sentinel` is reserved.",
        ),
    ],
};
