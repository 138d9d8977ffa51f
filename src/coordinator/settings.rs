//! What an operator may set about groups, and the limits on what a peer can make them grow to.

use super::Millis;
use super::assign::Assignor;

/// How long a member that has just been added may wait for its round of joins to end (five minutes, as in
/// Kafka). Until it has an answer it cannot send heartbeats, so the session timeout cannot apply yet.
pub const NEW_MEMBER_WAIT_MS: Millis = 5 * 60 * 1000;

/// Most protocols (assignors) that one member may offer.
pub const PROTOCOLS_PER_MEMBER_MAX: usize = 100;

/// Settings of the group coordinator; Kafka's names are given per field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupSettings {
    /// `group.min.session.timeout.ms` (6 s).
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms` (30 min).
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members after the first
    /// (0 here, 3 s in Kafka).
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`, at most [`GroupSettings::MEMBERS_MAX`]: members of one group.
    pub members_max: usize,
    /// Most ids that one group may have handed out to clients that have not come back with them yet.
    pub pending_members_max: usize,
    /// Most groups; joining or committing as one more gives `POLICY_VIOLATION`.
    pub groups_max: usize,
    /// Most bytes of subscriptions that the members of one group may hold together. The whole group goes into
    /// one record, so this also bounds that record.
    pub group_bytes_max: usize,
    /// `group.consumer.session.timeout.ms` and `group.consumer.heartbeat.interval.ms`, for consumer groups that set none
    /// of their own.
    pub consumer: ConsumerTimes,
    /// `group.consumer.migration.policy`.
    pub migration: Migration,
    /// `group.consumer.max.size`: members of one consumer group, at most [`GroupSettings::MEMBERS_MAX`].
    pub consumer_members_max: usize,
    /// `group.consumer.assignors`, the default first; when only one is on offer it is named twice.
    pub assignors: [Assignor; 2],
    /// `offset.metadata.max.bytes` (4,096).
    pub offset_metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, in milliseconds (7 days).
    pub offsets_retention_ms: Millis,
    /// `offsets.retention.check.interval.ms` (10 minutes).
    pub offsets_check_interval_ms: Millis,
}

impl GroupSettings {
    /// Most members of one group, whatever `group.max.size` says.
    pub const MEMBERS_MAX: usize = 10_000;
}

/// Which way groups with members may change their protocol (`group.consumer.migration.policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Migration {
    /// Only without members.
    Disabled,
    /// From classic to consumer groups.
    Upgrade,
    /// From consumer to classic groups.
    Downgrade,
    /// Both ways, as by default.
    #[default]
    Bidirectional,
}

impl Migration {
    /// The policy of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "disabled" => Some(Self::Disabled),
            "upgrade" => Some(Self::Upgrade),
            "downgrade" => Some(Self::Downgrade),
            "bidirectional" => Some(Self::Bidirectional),
            _ => None,
        }
    }
}

/// The times that members of a consumer group are given (KIP-848).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerTimes {
    /// Longest silence (45 s).
    pub session_timeout_ms: i32,
    /// How often to report (5 s).
    pub heartbeat_interval_ms: i32,
    /// Least time between two assignments: what changes meanwhile is assigned together (0 here, 1 s in Kafka).
    pub assignment_interval_ms: i32,
}

impl Default for ConsumerTimes {
    fn default() -> Self {
        Self { session_timeout_ms: 45_000, heartbeat_interval_ms: 5_000, assignment_interval_ms: 0 }
    }
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 30 * 60 * 1000,
            initial_rebalance_delay_ms: 0,
            members_max: Self::MEMBERS_MAX,
            pending_members_max: Self::MEMBERS_MAX,
            groups_max: 100_000,
            group_bytes_max: 64 << 20,
            consumer: ConsumerTimes::default(),
            migration: Migration::default(),
            consumer_members_max: Self::MEMBERS_MAX,
            assignors: Assignor::ALL,
            offset_metadata_bytes_max: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_check_interval_ms: 10 * 60 * 1000,
        }
    }
}
