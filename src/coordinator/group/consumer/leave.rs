//! Members that go, by themselves or because they are not heard of.

use std::sync::Arc;

use quipu_protocol::error_code::ErrorCode;

use super::heartbeat::tombstones;
use super::target::Draft;
use super::{
    Beat, Consumer, ConsumerRecord, Current, GroupEpoch, Held, LEAVE_STATIC, Member, MemberId, Progress,
    Refused, TargetEpoch,
};
use crate::coordinator::Now;
use crate::coordinator::group::Record;
use crate::coordinator::group::timers::Timer;

impl Consumer {
    /// Takes the last heartbeat of a static member that may come back within its session (epoch −2).
    pub(crate) fn leave_for_a_while(
        &mut self,
        beat: &Beat,
        records: &mut Vec<Record>,
    ) -> Result<(), Refused> {
        let member = self.known(beat)?;
        // The place stays, with its partitions; what it was to revoke it no longer reads.
        let current = Current {
            epoch: LEAVE_STATIC,
            previous_epoch: member.current.epoch,
            // Whoever takes its place may commit what it has read, whatever the epoch was.
            assigned: Held::since(&member.current.assigned.partitions(), 0),
            revoking: Held::default(),
            ..(*member.current).clone()
        };
        let record = ConsumerRecord::Current(beat.member_id.clone(), Some(Arc::new(current)));
        records.push(Record::Consumer(record));
        Ok(())
    }

    /// These records are in the log, and have been replayed: nobody waits any more for what they have brought about, and
    /// an assignment among them was made now. Not before, as a record that the log refuses leaves all as it was.
    pub(crate) fn cancel_settled(&mut self, now: Now, records: &[Record]) {
        for record in records {
            match record {
                Record::Consumer(ConsumerRecord::Member(id, None)) if !self.members.contains_key(id) => {
                    for timer in [Timer::Session, Timer::Revoke, Timer::JoinOf, Timer::SyncOf] {
                        self.timers.cancel(&timer(id.clone()));
                    }
                }
                Record::Consumer(ConsumerRecord::Member(id, Some(member))) if member.classic.is_none() => {
                    self.timers.cancel(&Timer::JoinOf(id.clone()));
                    self.timers.cancel(&Timer::SyncOf(id.clone()));
                }
                Record::Consumer(ConsumerRecord::Current(id, Some(current)))
                    if current.progress != Progress::Unrevoked || current.epoch == LEAVE_STATIC =>
                {
                    self.timers.cancel(&Timer::Revoke(id.clone()));
                }
                Record::Consumer(ConsumerRecord::TargetEpoch(target)) => {
                    // As after a restart: one without a time was not computed.
                    self.assigned_at = target.filter(|target| target.at_ms > 0).map(|_| now.tick);
                }
                _ => {}
            }
        }
    }

    /// Finds the member that a heartbeat names; as a static member it must be the one that holds the instance id.
    pub(crate) fn known(&self, beat: &Beat) -> Result<&Member, Refused> {
        let id = &beat.member_id;
        if let Some(instance) = &beat.instance_id {
            match self.static_members.get(instance) {
                Some(holder) if holder == id => {}
                Some(_) => {
                    return Err(Refused::new(
                        ErrorCode::FENCED_INSTANCE_ID,
                        format!("Static member {id} with instance id {instance} was fenced."),
                    ));
                }
                None => {
                    return Err(Refused::new(
                        ErrorCode::UNKNOWN_MEMBER_ID,
                        format!("Instance id {instance} is unknown."),
                    ));
                }
            }
        }
        self.members.get(id).ok_or_else(|| {
            Refused::new(ErrorCode::UNKNOWN_MEMBER_ID, format!("Member {id} is not a member of the group."))
        })
    }

    /// Removes members; the others get a new assignment with the next heartbeat of any of them.
    pub(crate) fn remove(&mut self, gone: &[MemberId], records: &mut Vec<Record>) {
        for id in gone {
            records.extend(tombstones(id));
        }
        let mut draft = Draft::new(self);
        draft.removed = gone;
        records.extend(draft.unused_regexes());
        let epoch = GroupEpoch { epoch: self.group_epoch() + 1, metadata_hash: self.metadata_hash() };
        records.push(Record::Consumer(ConsumerRecord::Epoch(Some(epoch))));
        if self.members.keys().all(|id| gone.contains(id)) {
            // Nobody is left to assign to (Kafka 4.4).
            let target = TargetEpoch { epoch: epoch.epoch, at_ms: 0 };
            records.push(Record::Consumer(ConsumerRecord::TargetEpoch(Some(target))));
        }
        // The remaining members may read fewer topics: the next heartbeat looks.
        self.topics_seen = None;
    }
}
