//! Events as they lie in an outbox: rendered once, so that every try sends the same bytes.

use serde::{Deserialize, Serialize};

use crate::sink::SinkError;
use crate::sink::remote::Batch;
use crate::sink::siem::notice::What;

/// First byte of a part; counts up with the layout.
const VERSION: u8 = 1;

/// One event, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// Of this state of the record: a repeat has the same.
    pub event_id: String,
    /// What it is about.
    pub what: What,
    /// When it happened, in milliseconds since the epoch.
    pub millis: i64,
    /// The event in the sink's format.
    pub body: String,
}

/// Events as bytes.
pub fn pack(parcels: &[Parcel]) -> Vec<u8> {
    // Strings and numbers always serialise.
    postcard::to_extend(parcels, vec![VERSION]).unwrap_or_default()
}

/// The events of a batch, in their order.
///
/// # Errors
/// When a version wrote them that this one does not know.
pub fn unpack(batch: &Batch) -> Result<Vec<Parcel>, SinkError> {
    let mut parcels = Vec::new();
    for part in &batch.parts {
        let read = match part.bytes.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes::<Vec<Parcel>>(rest).ok(),
            _ => None,
        };
        let read =
            read.ok_or_else(|| SinkError::Reject("another version of the program wrote this batch".to_owned()))?;
        parcels.extend(read);
    }
    Ok(parcels)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::model::stamp::Timestamp;
    use crate::sink::remote::{Class, Part};

    fn batch(parts: Vec<Vec<u8>>) -> Batch {
        Batch {
            token: "t".to_owned(),
            sealed: Timestamp::from_nanos(0),
            class: Class::Finding,
            parts: parts.into_iter().map(|bytes| Part { rows: 1, bytes }).collect(),
        }
    }

    #[test]
    fn what_is_packed_is_unpacked_and_what_is_not_known_is_refused() {
        let parcel = |body: &str| Parcel {
            event_id: "e".to_owned(),
            what: What::Finding,
            millis: -1,
            body: body.to_owned(),
        };
        let parts = vec![pack(&[parcel("a"), parcel("é\n")]), pack(&[parcel("")])];
        assert_eq!(unpack(&batch(parts)).unwrap(), [parcel("a"), parcel("é\n"), parcel("")]);
        for wrong in [vec![], vec![VERSION], vec![VERSION + 1, 0], vec![VERSION, 9, 9]] {
            assert!(matches!(unpack(&batch(vec![wrong])), Err(SinkError::Reject(_))));
        }
    }
}
