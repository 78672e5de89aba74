//! Listening sockets and addresses of a network namespace, as the kernel lists them (proc(5): `/proc/PID/net/`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// State of a socket that listens, in `tcp` and `tcp6`.
const LISTEN: &str = "0A";

/// A line of `tcp` or `tcp6` that is about a socket that listens: its address, and its inode.
pub(super) fn listener(line: &str) -> Option<(SocketAddr, u64)> {
    let mut words = line.split_ascii_whitespace();
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    let inode = words.nth(5)?.parse().ok()?;
    let (addr, port) = local.split_once(':')?;
    let at = SocketAddr::new(addr_of(addr)?, u16::from_str_radix(port, 16).ok()?);
    (state == LISTEN).then_some((at, inode))
}

/// Each word of 32 bits stands in the byte order of the machine, as hex digits.
fn addr_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| -> Option<[u8; 4]> {
        let digits = hex.get(at.checked_mul(8)?..)?.get(..8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => word(0).map(|bytes| Ipv4Addr::from(bytes).into()),
        32 => {
            let mut bytes = [0; 16];
            for (nth, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(nth)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Own addresses of IPv4 out of `fib_trie`: a leaf is followed by what it is.
pub(super) fn own_v4(trie: &str) -> Vec<IpAddr> {
    let mut own = Vec::new();
    let mut leaf = None;
    for line in trie.lines().map(str::trim) {
        if let Some(addr) = line.strip_prefix("|-- ") {
            leaf = addr.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            own.extend(leaf.map(IpAddr::from));
        }
    }
    own.sort_unstable();
    own.dedup();
    own
}

/// Own addresses of IPv6 out of `if_inet6`.
pub(super) fn own_v6(lines: &str) -> Vec<IpAddr> {
    let addr = |line: &str| {
        let digits = line.split_ascii_whitespace().next()?;
        let number = u128::from_str_radix(digits, 16).ok()?;
        (digits.len() == 32).then(|| IpAddr::from(Ipv6Addr::from(number)))
    };
    lines.lines().filter_map(addr).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_as_the_kernel_writes_them() {
        let v4 = "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 24536 1 0 100 0";
        let v6 =
            "   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 77 1";
        let busy = v4.replace(" 0A ", " 01 ");
        if cfg!(target_endian = "little") {
            assert_eq!(listener(v4), Some(("127.0.0.1:8000".parse().unwrap(), 24536)));
        }
        assert_eq!(listener(v6), Some(("[::]:80".parse().unwrap(), 77)));
        for line in [
            &*busy,
            "",
            "  sl  local_address rem_address   st tx_queue",
            "0: x:y z:w 0A",
        ] {
            assert_eq!(listener(line), None, "{line}");
        }
    }

    #[test]
    fn own_addresses_are_those_that_are_local() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.5\n        \
                    /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\nLocal:\n     |-- 10.0.0.5\n        /32 host LOCAL\n";
        assert_eq!(own_v4(trie), ["10.0.0.5".parse::<IpAddr>().unwrap()]);
        let lines = "00000000000000000000000000000001 01 80 10 80       lo\nfd000000000000000000000000000005 02 40 00 80 eth0\n";
        let expect = ["::1", "fd00::5"].map(|addr| addr.parse::<IpAddr>().unwrap());
        assert_eq!(own_v6(lines), expect);
        assert!(own_v6("x\n").is_empty());
    }
}
