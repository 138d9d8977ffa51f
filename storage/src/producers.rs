//! What a log remembers about its idempotent producers, so that a batch sent twice is stored once.
//!
//! Per producer: its epoch and the last five batches, which is as many as a client keeps in flight.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap};

use quipu_protocol::record::{BatchHeader, add_sequence};

use crate::disk::state::{StateReader, StateWriter};
use crate::error::AppendError;
use crate::marker::{Aborted, Marker};
use crate::types::{Millis, Offset, ProducerEpoch, ProducerId};

/// Batches that are remembered per producer. Clients rely on this number.
pub(crate) const REMEMBERED_BATCHES: usize = 5;

/// One remembered batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchMark {
    /// Sequence number of its first record.
    pub first_sequence: i32,
    /// Sequence number of its last record.
    pub last_sequence: i32,
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Its max timestamp, as stored.
    pub timestamp: Millis,
}

/// What is known about one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// Newest epoch seen.
    pub epoch: ProducerEpoch,
    /// Epoch of the coordinator that wrote the last marker, -1 if none did.
    pub coordinator_epoch: i32,
    /// First offset of the open transaction, if there is one.
    pub transaction_start: Option<Offset>,
    /// When it last wrote, by the broker's clock.
    pub last_append_ms: Millis,
    marks: [BatchMark; REMEMBERED_BATCHES],
    count: u8,
}

impl ProducerState {
    fn new(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            coordinator_epoch: -1,
            transaction_start: None,
            last_append_ms: 0,
            marks: Default::default(),
            count: 0,
        }
    }

    /// The remembered batches of the current epoch, oldest first.
    pub fn batches(&self) -> &[BatchMark] {
        &self.marks[..usize::from(self.count)]
    }

    /// The sequence number of the last record, -1 if there is none in this epoch.
    pub fn last_sequence(&self) -> i32 {
        self.batches().last().map_or(-1, |mark| mark.last_sequence)
    }

    fn remember(&mut self, mark: BatchMark) {
        if usize::from(self.count) == REMEMBERED_BATCHES {
            self.marks.rotate_left(1);
        } else {
            self.count += 1;
        }
        self.marks[usize::from(self.count) - 1] = mark;
    }
}

/// All producers of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    states: HashMap<ProducerId, ProducerState>,
    /// First offsets of the open transactions.
    open: BTreeSet<Offset>,
}

/// What to do with a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Append it.
    Fresh,
    /// Its transaction has been ended at the same epoch: it was sent again.
    Repeated,
}

/// What to do with a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Append it.
    Fresh,
    /// It is here already.
    Duplicate(BatchMark),
}

impl Producers {
    /// Invariants I1 to I4: decides about a batch of an idempotent producer. Changes nothing.
    pub(crate) fn admit(&self, header: &BatchHeader) -> Result<Admission, AppendError> {
        let producer_id = header.producer_id;
        let Some(state) = self.states.get(&producer_id) else {
            // I4: its batches may have been deleted since; whatever it sends next is the next.
            return Ok(Admission::Fresh);
        };
        if header.producer_epoch < state.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id,
                current: state.epoch,
                found: header.producer_epoch,
            });
        }
        let (first, last) = (header.base_sequence, header.last_sequence());
        let expected = if header.producer_epoch > state.epoch {
            0
        } else {
            let twin = |mark: &&BatchMark| (mark.first_sequence, mark.last_sequence) == (first, last);
            if let Some(mark) = state
                .batches()
                .iter()
                .rev()
                .take(if crate::planted::planted("window-of-one") { 1 } else { 5 })
                .find(twin)
                && !crate::planted::planted("retries-written-again")
            {
                return Ok(Admission::Duplicate(*mark));
            }
            match state.last_sequence() {
                -1 => 0,
                sequence => add_sequence(sequence, 1),
            }
        };
        if first != expected
            && !crate::planted::planted("no-sequence-check")
            && !crate::planted::planted("retries-written-again")
        {
            return Err(AppendError::OutOfOrderSequence { producer_id, expected, found: first });
        }
        Ok(Admission::Fresh)
    }

    /// T5, T11: whether a batch belongs to the transaction that is open, or may open one. Changes nothing.
    pub(crate) fn check_transaction(&self, header: &BatchHeader, may_open: bool) -> Result<(), AppendError> {
        let producer_id = header.producer_id;
        let open = self.states.get(&producer_id).filter(|state| state.transaction_start.is_some());
        match (header.attributes.is_transactional(), open) {
            (true, Some(state)) if state.epoch == header.producer_epoch => Ok(()),
            (true, None) if may_open => Ok(()),
            (true, _) => Err(AppendError::NoTransaction { producer_id }),
            (false, Some(_)) => Err(AppendError::OpenTransaction { producer_id }),
            (false, None) => Ok(()),
        }
    }

    /// T6: decides about a marker. Changes nothing.
    pub(crate) fn check_marker(&self, marker: &Marker) -> Result<Ending, AppendError> {
        let Marker { producer_id, producer_epoch: found, .. } = *marker;
        let Some(state) = self.states.get(&producer_id) else { return Ok(Ending::Fresh) };
        if state.coordinator_epoch > marker.coordinator_epoch {
            return Err(AppendError::CoordinatorFenced {
                producer_id,
                current: state.coordinator_epoch,
                found: marker.coordinator_epoch,
            });
        }
        let is_old = if marker.has_own_epoch { found <= state.epoch } else { found < state.epoch };
        if !is_old {
            return Ok(Ending::Fresh);
        }
        // KAFKA-19999: written before, but the coordinator did not learn of it.
        if marker.has_own_epoch && found == state.epoch && state.transaction_start.is_none() {
            return Ok(Ending::Repeated);
        }
        Err(AppendError::InvalidProducerEpoch { producer_id, current: state.epoch, found })
    }

    /// First offset of the oldest open transaction.
    pub(crate) fn first_open(&self) -> Option<Offset> {
        self.open.first().copied()
    }

    /// The same, after the transaction of a batch that is about to be written has been opened.
    pub(crate) fn first_open_with(&self, header: &BatchHeader) -> Option<Offset> {
        let opens = header.attributes.is_transactional() && !header.attributes.is_control();
        // Offsets only grow: a transaction that opens now is never the oldest unless it is the only one.
        self.first_open().or(opens.then_some(header.base_offset))
    }

    /// Ends the producer's transaction with a marker that was appended at `offset`, or is found again after a restart.
    /// Gives the first offset of what was ended, and the entry for the index if it was aborted.
    pub(crate) fn end(
        &mut self,
        marker: &Marker,
        offset: Offset,
        now: Millis,
        max_producers: usize,
    ) -> (Option<Offset>, Option<Aborted>) {
        let state = self.state_of(marker.producer_id, marker.producer_epoch, max_producers);
        state.coordinator_epoch = marker.coordinator_epoch;
        state.last_append_ms = now;
        let Some(first_offset) = state.transaction_start.take() else { return (None, None) };
        self.open.remove(&first_offset);
        let aborted = (!marker.is_commit).then(|| Aborted {
            producer_id: marker.producer_id,
            first_offset,
            last_offset: offset,
            last_stable_offset: self.first_open().unwrap_or(offset + 1),
        });
        if crate::planted::planted("abort-taken-for-commit") {
            return (Some(first_offset), None);
        }
        (Some(first_offset), aborted)
    }

    /// The producer's state at `epoch`, made if need be.
    fn state_of(
        &mut self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        max_producers: usize,
    ) -> &mut ProducerState {
        if self.states.len() >= max_producers && !self.states.contains_key(&producer_id) {
            self.forget_oldest(max_producers);
        }
        let state = match self.states.entry(producer_id) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => slot.insert(ProducerState::new(epoch)),
        };
        if epoch != state.epoch {
            state.epoch = epoch;
            (state.marks, state.count) = Default::default();
        }
        state
    }

    /// Takes in a batch that was appended, or is found again after a restart. `header` is the one that was stored.
    pub(crate) fn record(&mut self, header: &BatchHeader, now: Millis, max_producers: usize) {
        if !header.has_producer_id() {
            return;
        }
        let state = self.state_of(header.producer_id, header.producer_epoch, max_producers);
        state.last_append_ms = now;
        let is_data = header.attributes.is_transactional() && !header.attributes.is_control();
        let opened = (is_data && state.transaction_start.is_none()).then_some(header.base_offset);
        if opened.is_some() {
            state.transaction_start = opened;
        }
        if header.base_sequence >= 0 {
            state.remember(BatchMark {
                first_sequence: header.base_sequence,
                last_sequence: header.last_sequence(),
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                timestamp: header.max_timestamp,
            });
        }
        self.open.extend(opened);
    }

    /// I6: forgets who has been silent since before `deadline`, unless a transaction is open.
    pub(crate) fn expire(&mut self, deadline: Millis) -> usize {
        let before = self.states.len();
        self.states.retain(|_, state| state.transaction_start.is_some() || state.last_append_ms >= deadline);
        before - self.states.len()
    }

    /// I8: makes room by age. A sixteenth at once, so that the search is paid for rarely.
    fn forget_oldest(&mut self, max_producers: usize) {
        let mut ages: Vec<_> = self
            .states
            .iter()
            .filter(|(_, state)| state.transaction_start.is_none())
            .map(|(&id, state)| (state.last_append_ms, id))
            .collect();
        let surplus = (self.states.len() + 1).saturating_sub(max_producers).max(max_producers / 16);
        if surplus < ages.len() {
            ages.select_nth_unstable(surplus);
            ages.truncate(surplus);
        }
        for (_, id) in ages {
            self.states.remove(&id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerState)> {
        self.states.iter().map(|(&id, state)| (id, state))
    }

    pub(crate) fn encode(&self, out: &mut StateWriter) {
        let mut states: Vec<_> = self.states.iter().collect();
        // The same state gives the same bytes, so that a test can compare them.
        states.sort_unstable_by_key(|(id, _)| **id);
        out.put((states.len() as u32).to_be_bytes());
        for (id, state) in states {
            out.put(id.to_be_bytes());
            out.put(state.epoch.to_be_bytes());
            out.put(state.coordinator_epoch.to_be_bytes());
            out.put(state.transaction_start.unwrap_or(-1).to_be_bytes());
            out.put(state.last_append_ms.to_be_bytes());
            out.put([state.count]);
            for mark in state.batches() {
                out.put(mark.first_sequence.to_be_bytes());
                out.put(mark.last_sequence.to_be_bytes());
                out.put(mark.base_offset.to_be_bytes());
                out.put(mark.last_offset.to_be_bytes());
                out.put(mark.timestamp.to_be_bytes());
            }
        }
    }

    pub(crate) fn decode(state: &mut StateReader<'_>) -> Option<Self> {
        let mut this = Self::default();
        for _ in 0..u32::from_be_bytes(state.take()?) {
            let id = i64::from_be_bytes(state.take()?);
            let mut producer = ProducerState::new(i16::from_be_bytes(state.take()?));
            producer.coordinator_epoch = i32::from_be_bytes(state.take()?);
            producer.transaction_start = Some(i64::from_be_bytes(state.take()?)).filter(|start| *start >= 0);
            producer.last_append_ms = i64::from_be_bytes(state.take()?);
            let [count] = state.take()?;
            if usize::from(count) > REMEMBERED_BATCHES {
                return None;
            }
            for _ in 0..count {
                producer.remember(BatchMark {
                    first_sequence: i32::from_be_bytes(state.take()?),
                    last_sequence: i32::from_be_bytes(state.take()?),
                    base_offset: i64::from_be_bytes(state.take()?),
                    last_offset: i64::from_be_bytes(state.take()?),
                    timestamp: i64::from_be_bytes(state.take()?),
                });
            }
            this.open.extend(producer.transaction_start);
            this.states.insert(id, producer);
        }
        Some(this)
    }
}
