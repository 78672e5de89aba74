//! The versions that can be read: 1 (RFC 9000, RFC 9001), 2 (RFC 9369), and the last drafts, which software that was
//! never updated still speaks.

/// A version whose packets can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Drafts 29 to 32: version 1 with another salt.
    Draft,
    /// RFC 9000; drafts 33 and 34 differ by their number alone.
    V1,
    /// RFC 9369.
    V2,
}

/// What a long header is (RFC 9000, section 17.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Handshake,
    Initial,
    Retry,
    ZeroRtt,
}

impl Version {
    /// From the version field.
    pub(super) const fn parse(number: u32) -> Option<Self> {
        match number {
            0x0000_0001 | 0xff00_0021 | 0xff00_0022 => Some(Self::V1),
            0x6b33_43cf => Some(Self::V2),
            0xff00_001d..=0xff00_0020 => Some(Self::Draft),
            _ => None,
        }
    }

    /// This one, and the other whose keys have other labels: both ends may have agreed on it on the way (RFC 9368).
    pub(super) const fn either(self) -> [Self; 2] {
        match self {
            Self::Draft | Self::V1 => [self, Self::V2],
            Self::V2 => [self, Self::V1],
        }
    }

    /// What the type bits of a long header mean.
    pub(super) const fn kind(self, first: u8) -> Kind {
        // Version 2 counts from one further on (RFC 9369, section 3.2).
        let shift = match self {
            Self::Draft | Self::V1 => 0,
            Self::V2 => 3,
        };
        match (first >> 4 & 3).wrapping_add(shift) & 3 {
            0 => Kind::Initial,
            1 => Kind::ZeroRtt,
            2 => Kind::Handshake,
            _ => Kind::Retry,
        }
    }

    /// Salt of the keys of Initial packets (RFC 9001, section 5.2; RFC 9369, section 3.3.1).
    pub(super) const fn salt(self) -> &'static [u8; 20] {
        match self {
            Self::Draft => b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99",
            Self::V1 => b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a",
            Self::V2 => b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9",
        }
    }

    /// Label of a kind of key (RFC 9001, section 5.1; RFC 9369, section 3.3.2).
    pub(super) const fn label(self, use_: Use) -> &'static str {
        match (self, use_) {
            (Self::Draft | Self::V1, Use::HeaderProtection) => "quic hp",
            (Self::Draft | Self::V1, Use::Iv) => "quic iv",
            (Self::Draft | Self::V1, Use::Packet) => "quic key",
            (Self::Draft | Self::V1, Use::Update) => "quic ku",
            (Self::V2, Use::HeaderProtection) => "quicv2 hp",
            (Self::V2, Use::Iv) => "quicv2 iv",
            (Self::V2, Use::Packet) => "quicv2 key",
            (Self::V2, Use::Update) => "quicv2 ku",
        }
    }
}

/// What a derived key is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    HeaderProtection,
    Iv,
    Packet,
    /// The secret of the next key phase.
    Update,
}
