//! What is checked about a batch before any lock is taken.

use quipu_protocol::record::{
    BATCH_HEADER_BYTES, BATCH_OVERHEAD_BYTES, BatchHeader, BatchView, RecordError, crc32c, position,
};

use crate::compress::{Codec, compress, decompress, expansion_limit};
use crate::error::{BatchError, CorruptMessage, InvalidRecord};
use crate::record::{OpenBatch, RecordsError};

/// Exactly one whole batch with the right sum, whose header makes sense. Only such a batch can be appended.
#[derive(Clone, Copy, Debug)]
pub struct CheckedBatch<'a> {
    view: BatchView<'a>,
}

impl<'a> CheckedBatch<'a> {
    /// Checks format, length, CRC-32C, record count against offset range, sequence and codec (rule P1). Records are not
    /// looked at, see [`CheckedBatch::check_records`].
    pub fn check(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let corrupt = |reason| Err(BatchError::CorruptMessage(reason));
        let view = match BatchView::parse(bytes) {
            Ok(view) => view,
            Err(RecordError::UnsupportedMagic(magic)) => return Err(BatchError::UnsupportedMagic(magic)),
            Err(RecordError::Truncated { needed, found }) => {
                return corrupt(CorruptMessage::Length { declared: needed, found });
            }
            Err(error) => return corrupt(CorruptMessage::Unreadable(error)),
        };
        let header = view.header();
        let computed = view.computed_crc();
        if computed != header.crc {
            return corrupt(CorruptMessage::Crc { declared: header.crc, computed });
        }
        check_header(header).map_err(BatchError::InvalidRecord)?;
        match bytes.get(view.bytes().len()..) {
            None | Some([]) => Ok(Self { view }),
            Some(rest) if BatchView::parse(rest).is_ok() => {
                Err(BatchError::InvalidRecord(InvalidRecord::SeveralBatches))
            }
            Some(_) => corrupt(CorruptMessage::Length { declared: view.bytes().len(), found: bytes.len() }),
        }
    }

    /// Walks over all records, expanded within [`expansion_limit`]: that they are well-formed, as many as declared, and
    /// numbered one by one. `visit` sees each of them.
    pub fn check_records(
        &self,
        mut visit: impl FnMut(&quipu_protocol::record::RecordView<'_>),
    ) -> Result<(), BatchError> {
        let invalid = |reason| BatchError::InvalidRecord(reason);
        let limit = expansion_limit(self.view.payload().len());
        let open = OpenBatch::new(&self.view, limit).map_err(|error| {
            invalid(match error {
                RecordsError::UnknownCodec(codec) => InvalidRecord::UnknownCodec(codec),
                RecordsError::Decompress(_) => InvalidRecord::Compression,
                RecordsError::Record(error) => InvalidRecord::Record(error),
            })
        })?;
        for (expected, record) in (0i32..).zip(open.records()) {
            let record = record.map_err(|error| invalid(InvalidRecord::Record(error)))?;
            if record.offset_delta != expected {
                return Err(invalid(InvalidRecord::Record(RecordError::BadField("offset delta"))));
            }
            visit(&record);
        }
        Ok(())
    }

    /// The same records in another codec (`compression.type`): the bytes of a batch whose header says all else that this
    /// one's does. The records are checked on the way, so that nothing unreadable is kept under a new sum.
    pub fn recompress(&self, codec: Codec, level: Option<i32>) -> Result<Vec<u8>, BatchError> {
        self.check_records(|_| {})?;
        let unreadable = BatchError::InvalidRecord(InvalidRecord::Compression);
        let payload = self.view.payload();
        let records =
            decompress(self.codec(), payload, expansion_limit(payload.len())).map_err(|_| unreadable)?;
        let compressed = compress(codec, level, &records).map_err(|_| unreadable)?;
        let mut header = *self.header();
        header.attributes = header.attributes.with_codec(codec.number());
        header.batch_length = i32::try_from(BATCH_HEADER_BYTES - BATCH_OVERHEAD_BYTES + compressed.len())
            .map_err(|_| unreadable)?;
        let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES + compressed.len());
        bytes.extend_from_slice(&header.to_bytes());
        bytes.extend_from_slice(&compressed);
        let sum = crc32c(&bytes[position::ATTRIBUTES..]);
        bytes[position::CRC..position::ATTRIBUTES].copy_from_slice(&sum.to_be_bytes());
        Ok(bytes)
    }

    /// The header as the producer sent it.
    pub fn header(&self) -> &BatchHeader {
        self.view.header()
    }

    /// The batch as the producer sent it.
    pub fn bytes(&self) -> &'a [u8] {
        self.view.bytes()
    }

    /// The batch as a view.
    pub fn view(&self) -> &BatchView<'a> {
        &self.view
    }

    /// How the records are compressed.
    pub fn codec(&self) -> Codec {
        // Numbers that are not assigned were refused by the check.
        Codec::from_number(self.header().attributes.codec()).unwrap_or_default()
    }
}

fn check_header(header: &BatchHeader) -> Result<(), InvalidRecord> {
    if header.records_count <= 0 {
        return Err(InvalidRecord::Empty);
    }
    if header.records_count.checked_sub(1) != Some(header.last_offset_delta) {
        return Err(InvalidRecord::CountOffsetMismatch {
            count: header.records_count,
            last_offset_delta: header.last_offset_delta,
        });
    }
    // Control batches carry a producer without a sequence, and so do offsets that the broker itself keeps for a
    // transaction; a producer may not leave it out, which its log checks.
    let is_ours = header.attributes.is_control()
        || header.attributes.is_transactional() && header.base_sequence == -1 && header.producer_epoch >= 0;
    let needs_sequence = header.has_producer_id() && !is_ours;
    if needs_sequence && (header.base_sequence < 0 || header.producer_epoch < 0) {
        return Err(InvalidRecord::NoSequence);
    }
    match Codec::from_number(header.attributes.codec()) {
        Some(_) => Ok(()),
        None => Err(InvalidRecord::UnknownCodec(header.attributes.codec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quipu_protocol::record::{Attributes, BatchBuilder, Header, crc32c, position};

    fn batch(count: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        for i in 0..count {
            builder.push(i as i64, None, Some(b"value"), &[]);
        }
        builder.finish()
    }

    fn resum(bytes: &mut [u8]) {
        let sum = crc32c(&bytes[position::ATTRIBUTES..]);
        bytes[position::CRC..position::ATTRIBUTES].copy_from_slice(&sum.to_be_bytes());
    }

    fn invalid(bytes: &[u8]) -> InvalidRecord {
        match CheckedBatch::check(bytes) {
            Err(BatchError::InvalidRecord(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn recompression_keeps_everything_but_the_codec() {
        let mut builder = BatchBuilder::new().producer(7, 3, 40);
        for i in 0..200 {
            let headers = [Header { key: b"h", value: Some(b"1") }, Header { key: b"h", value: None }];
            builder.push(1_000 + i, Some(b"key"), Some(&[b'v'; 100]), &headers);
        }
        let original = builder.finish();
        let records = |bytes: &[u8]| {
            let mut seen = Vec::new();
            let keep = |record: &quipu_protocol::record::RecordView<'_>| {
                seen.push((
                    record.timestamp_delta,
                    record.value.map(<[u8]>::to_vec),
                    record.headers().count(),
                ));
            };
            CheckedBatch::check(bytes).unwrap().check_records(keep).unwrap();
            seen
        };
        let mut bytes = original.clone();
        // From each codec to the next, and back to none.
        for codec in Codec::ALL.into_iter().skip(1).chain([Codec::None]) {
            bytes = CheckedBatch::check(&bytes).unwrap().recompress(codec, None).unwrap();
            let batch = CheckedBatch::check(&bytes).unwrap();
            assert_eq!(batch.codec(), codec);
            assert_eq!((batch.header().producer_id, batch.header().base_sequence), (7, 40));
            assert_eq!(batch.header().max_timestamp, 1_199);
            assert_eq!(records(&bytes), records(&original), "{codec:?}");
        }
        assert_eq!(bytes, original);
    }

    #[test]
    fn p1_a_flipped_bit_anywhere_behind_the_sum_is_corruption() {
        let good = batch(3);
        assert!(CheckedBatch::check(&good).is_ok());
        for place in position::CRC..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 0x10;
            let result = CheckedBatch::check(&bad);
            assert!(
                matches!(result, Err(BatchError::CorruptMessage(CorruptMessage::Crc { .. }))),
                "{place}: {result:?}"
            );
        }
    }

    #[test]
    fn p1_lengths_must_agree() {
        let good = batch(1);
        for cut in 0..good.len() {
            assert!(matches!(CheckedBatch::check(&good[..cut]), Err(BatchError::CorruptMessage(_))));
        }
        let mut long = good.clone();
        long.push(0);
        assert!(matches!(CheckedBatch::check(&long), Err(BatchError::CorruptMessage(_))));
        long = [&good[..], &good[..]].concat();
        assert_eq!(invalid(&long), InvalidRecord::SeveralBatches);
    }

    #[test]
    fn p1_count_range_sequence_and_codec() {
        let mut bytes = batch(2);
        bytes[position::RECORDS_COUNT + 3] = 3;
        resum(&mut bytes);
        assert!(matches!(invalid(&bytes), InvalidRecord::CountOffsetMismatch { count: 3, .. }));
        bytes[position::RECORDS_COUNT..].fill(0);
        resum(&mut bytes);
        assert_eq!(invalid(&bytes), InvalidRecord::Empty);

        let mut builder = BatchBuilder::new().producer(1, 0, -1);
        builder.push(0, None, None, &[]);
        assert_eq!(invalid(&builder.finish()), InvalidRecord::NoSequence);

        let mut bytes = batch(1);
        bytes[position::ATTRIBUTES + 1] = 5;
        resum(&mut bytes);
        assert_eq!(invalid(&bytes), InvalidRecord::UnknownCodec(5));

        let mut bytes = batch(1);
        bytes[position::MAGIC] = 1;
        assert_eq!(CheckedBatch::check(&bytes).err(), Some(BatchError::UnsupportedMagic(1)));
    }

    #[test]
    fn records_are_walked_on_demand() {
        let mut builder = BatchBuilder::new().attributes(Attributes(0));
        builder.push(5, Some(b"a"), None, &[]);
        builder.push(6, None, None, &[]);
        let bytes = builder
            .finish_compressed(4, |records| crate::compress::compress(Codec::Zstd, None, records))
            .unwrap();
        let batch = CheckedBatch::check(&bytes).unwrap();
        let mut keyless = 0;
        batch.check_records(|record| keyless += usize::from(record.key.is_none())).unwrap();
        assert_eq!((keyless, batch.codec()), (1, Codec::Zstd));

        let mut bytes = bytes.clone();
        let end = bytes.len();
        bytes[end - 4..].fill(0);
        resum(&mut bytes);
        let batch = CheckedBatch::check(&bytes).unwrap();
        assert!(batch.check_records(|_| ()).is_err());
    }
}
