//! Whether a host name that is in no list reads like that of an MCP server.
//!
//! `mcp` stands for many things: a game's modding kit, a card company, certificates of long ago. So what is said here is a
//! suspicion, the least but one of the fixed steps, and never a finding.

/// Countries' second-level domains below which everybody registers: `vendor.co.uk`.
const SECOND_LEVELS: [&str; 10] = ["ac", "co", "com", "edu", "go", "gov", "ne", "net", "or", "org"];

/// Top-level names of one's own networks, in which a host needs no domain: `mcp.internal`.
const OWN: [&str; 8] = [
    "corp",
    "home",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "private",
];

/// First labels of hosts that serve pages, files, mail and names, whatever they are about.
const PAGES: [&str; 14] = [
    "assets", "blog", "cdn", "fonts", "ftp", "imap", "images", "img", "mail", "mx", "smtp", "static", "status", "www",
];

/// Words whose `mcp` is another.
const OTHERS: [&str; 3] = ["mastercard", "minecraft", "mojang"];

/// `mcp.vendor.test`, `x.mcp.vendor.test`, `mcp-eu.vendor.test`, `weather-mcp.vendor.test`, `mcp.internal`; any letter
/// case. Not a domain that is called `mcp`, nor what stands in front of a longer word.
pub(super) fn like_mcp(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let labels: Vec<&str> = name.split('.').collect();
    let [stem @ .., second, top] = labels.as_slice() else {
        return false;
    };
    let own = OWN.contains(top);
    let registered_below = top.len() == 2 && SECOND_LEVELS.contains(second) && !stem.is_empty();
    let (stem, domain) = match stem {
        [stem @ .., domain] if registered_below => (stem, *domain),
        _ => (stem, *second),
    };
    if stem.first().is_some_and(|label| PAGES.contains(label)) || OTHERS.iter().any(|word| name.contains(word)) {
        return false;
    }
    let says = |label: &&str| label.split('-').any(|word| word == "mcp");
    stem.iter().any(says) || (says(&domain) && (own || domain != "mcp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names() {
        for name in [
            "mcp.vendor.test",
            "MCP.Vendor.Test.",
            "x.mcp.vendor.test",
            "docs.mcp.vendor.test",
            "mcp-eu.vendor.test",
            "weather-mcp.vendor.test",
            "my-mcp-server.vendor.test",
            "mcp.vendor.co.uk",
            "weather-mcp.test",
            "mcp-weather.co.uk",
            "mcp.internal",
            "tools.mcp.lan",
        ] {
            assert!(like_mcp(name), "{name}");
        }
        for name in [
            "",
            ".",
            "mcp",
            "c.mcp",
            "mcp.com",
            "mcp.co.uk",
            "www.mcp.com",
            "shop.mcp.com",
            "www.mcp.vendor.test",
            "cdn.mcp-tools.test",
            "mcpe.vendor.test",
            "mcpx.vendor.test",
            "xmcp.vendor.test",
            "mcp.minecraft.test",
            "mcp-api.mastercard.test",
            "vendor.test",
        ] {
            assert!(!like_mcp(name), "{name}");
        }
    }
}
