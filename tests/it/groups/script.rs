//! What is asked, and how the answers are written down.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Write as _};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use quipu_protocol::header::{RequestHeader, decode_response_header, request_frame};
use quipu_protocol::message::*;
use quipu_protocol::primitives::{Blob, Str, Uuid};
use quipu_protocol::{ApiKey, Decode, Encode, ErrorCode};

type Text = Str<'static>;

/// A protocol's name and the member's metadata for it.
type Offer<'a> = &'a [(&'a str, &'a str)];

const RANGE: Offer<'static> = &[("range", "sub")];

fn text(text: &str) -> Text {
    Str::Owned(text.to_owned())
}

struct Script {
    address: String,
    /// Sets this run's names apart from those of others against the same broker.
    suffix: String,
    connections: HashMap<String, TcpStream>,
    /// Member id → what to call it.
    names: BTreeMap<String, String>,
    transcript: String,
}

/// A member: who it is, and on which connection it talks.
#[derive(Clone, Default)]
struct Member {
    name: &'static str,
    id: String,
    instance: Option<&'static str>,
}

impl Member {
    fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    fn fixed(name: &'static str, instance: &'static str) -> Self {
        Self { name, instance: Some(instance), ..Self::default() }
    }

    fn with_id(&self, id: &str) -> Self {
        Self { id: id.to_owned(), ..self.clone() }
    }
}

/// Runs the whole script; gives one line per answer.
pub(super) fn run(address: &str, suffix: &str) -> String {
    let mut script = Script {
        address: address.to_owned(),
        suffix: suffix.to_owned(),
        connections: HashMap::new(),
        names: BTreeMap::new(),
        transcript: String::new(),
    };
    let topic = script.create_topic();
    script.find_coordinators();
    script.nobody_there();
    script.refused_before_there_is_a_group();
    for version in [0, 1, 2, 3] {
        script.old_client(version);
    }
    for version in [4, 5, 7, 9] {
        script.life_of_one(version);
    }
    script.two_members();
    script.full_group();
    script.static_members();
    script.static_member_in_mid_rebalance();
    script.pending_members();
    script.offsets(topic);
    script.transcript
}

// ---- Scenes ----

impl Script {
    fn create_topic(&mut self) -> Uuid {
        let topic = create_topics::CreatableTopic {
            name: self.named("t"),
            num_partitions: 3,
            replication_factor: 1,
            ..Default::default()
        };
        let request = create_topics::CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 5_000,
            validate_only: false,
        };
        self.send("admin", ApiKey::CreateTopics, 7, &request);
        let response: create_topics::CreateTopicsResponse<'_> =
            self.receive("admin", ApiKey::CreateTopics, 7);
        // A Kafka that has just started may still be creating its own topics.
        for _ in 0..60 {
            let group = offset_fetch::OffsetFetchRequestGroup { group_id: text("x"), ..Default::default() };
            let request = offset_fetch::OffsetFetchRequest { groups: vec![group], ..Default::default() };
            let find = find_coordinator::FindCoordinatorRequest {
                coordinator_keys: vec![text("x")],
                ..Default::default()
            };
            self.send("admin", ApiKey::FindCoordinator, 4, &find);
            let _: find_coordinator::FindCoordinatorResponse<'_> =
                self.receive("admin", ApiKey::FindCoordinator, 4);
            self.send("admin", ApiKey::OffsetFetch, 8, &request);
            let fetched: offset_fetch::OffsetFetchResponse<'_> =
                self.receive("admin", ApiKey::OffsetFetch, 8);
            if fetched.groups[0].error_code.is_none() {
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        response.topics[0].topic_id
    }

    fn find_coordinators(&mut self) {
        for (version, key_type) in [(0, 0), (1, 0), (3, 1), (4, 0), (6, 1), (3, 2), (5, 2), (3, 7), (6, 7)] {
            let key = self.named("f");
            let request = find_coordinator::FindCoordinatorRequest {
                key: key.clone(),
                key_type,
                coordinator_keys: vec![key, text("")],
            };
            self.send("admin", ApiKey::FindCoordinator, version, &request);
            let mut response: find_coordinator::FindCoordinatorResponse<'_> =
                self.receive("admin", ApiKey::FindCoordinator, version);
            if key_type == 1 && response.error_code.is_retriable() {
                // A Kafka that has just started creates the topic of transactions at this request.
                response = Default::default();
            }
            // What an error says is up to the broker.
            let hide = |error: ErrorCode, message: &mut Option<Text>, port: &mut i32| {
                *message = message.take().map(|it| if error.is_none() { it } else { text("…") });
                *port = (*port).min(1);
            };
            hide(response.error_code, &mut response.error_message, &mut response.port);
            for one in &mut response.coordinators {
                hide(one.error_code, &mut one.error_message, &mut one.port);
            }
            if key_type != 1 {
                self.write(&format!("find type {key_type}"), version, &response);
            }
        }
    }

    fn nobody_there(&mut self) {
        let stranger = Member::new("stranger").with_id("stranger");
        for version in 0..=9 {
            self.join("nobody", version, "none", &stranger, RANGE);
        }
        for version in 0..=5 {
            self.sync("nobody", version, "none", &stranger, 1, &[]);
            self.leave("nobody", version, "none", &[&stranger]);
        }
        self.beat("nobody", "none", &stranger, 1);
        self.describe("nobody", "none");
        self.delete("nobody", "none");
        self.delete_offsets("nobody", "none", &[("t", &[0])]);
        // The empty name is refused everywhere but where offsets were once kept under it.
        self.join("empty name", 5, "", &stranger, RANGE);
        self.sync("empty name", 5, "", &stranger, 1, &[]);
        self.beat("empty name", "", &stranger, 1);
        self.leave("empty name", 2, "", &[&stranger]);
        self.leave("empty name", 5, "", &[&stranger]);
        self.delete_offsets("empty name", "", &[]);
        self.describe("empty name", "");
        self.delete("empty name", "");
    }

    fn refused_before_there_is_a_group(&mut self) {
        let member = Member::new("refused");
        for session_timeout_ms in [5_999, 1_800_001, -1, 0] {
            let request = join_group::JoinGroupRequest {
                session_timeout_ms,
                ..self.join_request("refused", &member, RANGE)
            };
            self.send("refused", ApiKey::JoinGroup, 5, &request);
            self.joined("session", 5, &member);
        }
        self.join("no protocol", 5, "refused", &member, &[]);
        let request = join_group::JoinGroupRequest {
            protocol_type: text(""),
            ..self.join_request("refused", &member, RANGE)
        };
        self.send("refused", ApiKey::JoinGroup, 5, &request);
        self.joined("no type", 5, &member);
    }

    fn old_client(&mut self, version: i16) {
        let group = format!("old{version}");
        let mut member = Member::new("old");
        member.id = self.join("old", version, &group, &member, RANGE).member_id.into_owned();
        self.sync("old", 0, &group, &member, 1, &[(&member, "all")]);
        self.beat("old", &group, &member, 1);
        self.leave("old", version.min(2), &group, &[&member]);
        self.describe("old", &group);
    }

    fn life_of_one(&mut self, version: i16) {
        let group = &*format!("life{version}");
        let mut one = Member::new("one");
        one.id = self.join("pending", version, group, &one, RANGE).member_id.into_owned();
        self.join("first", version, group, &one, RANGE);
        self.describe("completing", group);
        self.beat("completing", group, &one, 1);
        self.commit("completing", 9, group, &one, 1, &[("t", &[(0, 5)])], Some("m"));
        self.sync("early", 5, group, &one, 2, &[]);
        self.sync("late", 3, group, &one, 0, &[]);
        for (kind, name) in
            [(Some("consumer"), Some("rr")), (None, Some("range")), (Some("x"), Some("range"))]
        {
            let request = sync_group::SyncGroupRequest {
                protocol_type: kind.map(text),
                protocol_name: name.map(text),
                ..self.sync_request(group, &one, 1, &[])
            };
            self.send(one.name, ApiKey::SyncGroup, 5, &request);
            self.synced("wrong protocol", 5, &one);
        }
        let stranger = Member::new("stranger").with_id("stranger");
        self.sync("leader", 5, group, &one, 1, &[(&one, "all"), (&stranger, "x")]);
        self.sync("again", 0, group, &one, 1, &[]);
        self.describe("stable", group);
        let with_instance = Member { instance: Some("i"), ..one.clone() };
        for (what, member, generation) in [
            ("good", &one, 1),
            ("generation", &one, 2),
            ("stranger", &stranger, 1),
            ("instance", &with_instance, 1),
        ] {
            self.beat(what, group, member, generation);
            for version in [2, 8, 9] {
                self.commit(what, version, group, member, generation, &[("t", &[(0, 5)])], Some("m"));
            }
        }
        let nobody = Member::new("nobody");
        self.commit("nobody", 9, group, &nobody, -1, &[("t", &[(0, 5)])], None);
        self.commit("no generation", 9, group, &one, -1, &[("t", &[(0, 5)])], None);
        self.delete_offsets("maybe subscribed", group, &[("t", &[0, 1]), ("nope", &[0])]);
        self.delete("stable", group);
        self.join("nothing in common", version, group, &Member::new("two"), &[("rr", "")]);
        let request = join_group::JoinGroupRequest {
            protocol_type: text("connect"),
            ..self.join_request(group, &Member::new("two"), RANGE)
        };
        self.send("two", ApiKey::JoinGroup, version, &request);
        self.joined("other type", version, &Member::new("two"));
        self.join("stranger", version, group, &stranger, RANGE);
        self.join("instance", version.max(5), group, &with_instance, RANGE);
        self.join("leader changes its mind", version, group, &one, &[("rr", "")]);
        self.join("leader again", version, group, &one, RANGE);
        self.leave("going", version.min(5), group, &[&one, &stranger]);
        self.describe("left", group);
        self.beat("left", group, &one, 2);
        self.join("left", version, group, &one, RANGE);
        self.commit("left", 9, group, &one, 2, &[("t", &[(0, 5)])], None);
        self.commit("admin", 9, group, &nobody, -1, &[("t", &[(0, 6), (1, 7)])], None);
        self.delete_offsets("empty", group, &[("t", &[0]), ("nope", &[0])]);
        self.fetch("empty", 8, group, None);
        self.delete("empty", group);
        self.fetch("deleted", 8, group, Some(&[("t", &[0, 1])]));
    }

    fn two_members(&mut self) {
        let group = "two";
        let both: Offer<'_> = &[("range", "a"), ("rr", "b")];
        let turned: Offer<'_> = &[("rr", "b2"), ("range", "a2")];
        let mut one = Member::new("one");
        one.id = self.join("pending", 9, group, &one, both).member_id.into_owned();
        self.join("alone", 9, group, &one, both);
        self.sync("alone", 5, group, &one, 1, &[(&one, "all")]);
        let mut two = Member::new("two");
        two.id = self.join("pending", 9, group, &two, turned).member_id.into_owned();
        self.beat("with a pending member", group, &one, 1);
        self.ask_to_join(9, group, &two, turned);
        self.waits(&two);
        self.describe("preparing", group);
        self.beat("preparing", group, &one, 1);
        self.beat("preparing", group, &two, 1);
        self.sync("preparing", 5, group, &one, 1, &[]);
        self.commit("preparing", 9, group, &one, 1, &[("t", &[(0, 5)])], None);
        self.delete_offsets("preparing", group, &[("t", &[0])]);
        self.delete("preparing", group);
        self.ask_to_join(9, group, &one, &[("range", "a")]);
        self.joined("together", 9, &one);
        self.joined("together", 9, &two);
        self.ask_to_sync(5, group, &two, 2, &[]);
        self.waits(&two);
        self.describe("completing", group);
        self.commit("completing", 9, group, &one, 2, &[("t", &[(0, 5)])], None);
        self.commit("completing, old", 9, group, &one, 1, &[("t", &[(0, 5)])], None);
        self.join("same again", 9, group, &one, &[("range", "a")]);
        self.sync("leader", 5, group, &one, 2, &[(&one, "one's"), (&two, "two's")]);
        self.synced("follower", 5, &two);
        self.describe("stable", group);
        self.join("follower again", 9, group, &two, turned);
        self.leave("first goes", 5, group, &[&one]);
        self.leave("first goes", 5, group, &[&one]);
        self.beat("rebalance", group, &two, 2);
        self.join("second alone", 9, group, &two, turned);
        self.leave("second goes", 5, group, &[&two]);
        self.describe("empty", group);
        for (states, types) in
            [(&["empty"][..], &["CLASSIC"][..]), (&["Stable"], &[]), (&["bogus"], &[]), (&[], &["bogus"])]
        {
            self.list(states, types, group);
        }
    }

    fn full_group(&mut self) {
        let group = "full";
        let [mut one, mut two, mut three] = ["one", "two", "three"].map(Member::new);
        one.id = self.join("first", 3, group, &one, RANGE).member_id.into_owned();
        self.ask_to_join(3, group, &two, RANGE);
        self.waits(&two);
        self.ask_to_join(3, group, &three, RANGE);
        self.waits(&three);
        self.ask_to_join(3, group, &one, RANGE);
        two.id = self.joined("all", 3, &two).member_id.into_owned();
        three.id = self.joined("all", 3, &three).member_id.into_owned();
        self.joined("all", 3, &one);
        self.join("full", 3, group, &Member::new("four"), RANGE);
        self.join("full", 9, group, &Member::new("four"), RANGE);
        self.describe("full", group);
        self.leave("all go", 5, group, &[&three, &one, &two]);
        self.describe("all went", group);
    }

    fn static_members(&mut self) {
        let group = "static";
        let mut one = Member::fixed("one", "i1");
        one.id = self.join("first", 5, group, &one, RANGE).member_id.into_owned();
        self.sync("first", 5, group, &one, 1, &[(&one, "all")]);
        let mut two = Member::fixed("two", "i2");
        self.ask_to_join(5, group, &two, RANGE);
        self.waits(&two);
        self.ask_to_join(5, group, &one, RANGE);
        two.id = self.joined("second", 5, &two).member_id.into_owned();
        self.joined("second", 5, &one);
        self.ask_to_sync(5, group, &two, 2, &[]);
        self.sync("leader", 5, group, &one, 2, &[(&one, "one's"), (&two, "two's")]);
        self.synced("follower", 5, &two);
        let back = Member::fixed("two", "i2");
        let back = back.with_id(&self.join("back", 5, group, &back, RANGE).member_id);
        self.describe("back", group);
        self.sync("back", 5, group, &back, 2, &[]);
        self.sync("fenced", 5, group, &two, 2, &[]);
        self.join("fenced", 5, group, &two, RANGE);
        self.beat("fenced", group, &two, 2);
        self.leave("fenced", 5, group, &[&two]);
        self.commit("fenced", 9, group, &two, 2, &[("t", &[(0, 5)])], None);
        let disguised = Member { instance: None, ..two.clone() };
        self.beat("fenced, without its instance", group, &disguised, 2);
        self.leave("other instance", 5, group, &[&Member { instance: Some("i9"), ..back.clone() }]);
        for version in [9, 5, 8] {
            self.join("leader back", version, group, &Member::fixed("one", "i1"), RANGE);
        }
        self.join("changed", 9, group, &Member::fixed("two", "i2"), &[("range", "changed")]);
        self.describe("changed", group);
        self.join("other protocol", 9, group, &Member::fixed("two", "i2"), &[("rr", "x")]);
        let by_instance = [Member::fixed("", "i2"), Member::fixed("", "none"), Member::new("")];
        self.leave("admin", 5, group, &by_instance.iter().collect::<Vec<_>>());
        self.describe("admin", group);
        self.leave("admin", 5, group, &[&Member::fixed("", "i1")]);
    }

    fn static_member_in_mid_rebalance(&mut self) {
        let group = "static2";
        let mut old = Member::fixed("old", "i1");
        old.id = self.join("first", 5, group, &old, RANGE).member_id.into_owned();
        let mut one = Member::fixed("one", "i1");
        one.id = self.join("while completing", 5, group, &one, RANGE).member_id.into_owned();
        self.describe("while completing", group);
        self.beat("while completing, old", group, &old, 1);
        self.sync("while completing", 5, group, &one, 1, &[]);
        self.sync("while completing", 5, group, &one, 2, &[(&one, "all")]);
        let first = Member::fixed("first", "i2");
        self.ask_to_join(5, group, &first, RANGE);
        self.waits(&first);
        let mut second = Member::fixed("second", "i2");
        self.ask_to_join(5, group, &second, RANGE);
        self.waits(&second);
        self.joined("fenced while preparing", 5, &first);
        self.leave("the other goes", 5, group, &[&one]);
        second.id = self.joined("alone", 5, &second).member_id.into_owned();
        self.sync("alone", 5, group, &second, 3, &[(&second, "all")]);
        self.leave("alone", 5, group, &[&second]);
    }

    fn pending_members(&mut self) {
        let mut member = Member::new("pending");
        member.id = self.join("pending", 5, "nobody-kept", &member, RANGE).member_id.into_owned();
        self.leave("pending", 5, "nobody-kept", &[&member]);
        self.join("pending left", 5, "nobody-kept", &member, RANGE);
        self.describe("nobody kept", "nobody-kept");
        member.id.clear();
        member.id = self.join("pending", 5, "pending", &member, RANGE).member_id.into_owned();
        let disguised = Member { instance: Some("i"), ..member.clone() };
        self.join("pending with instance", 5, "pending", &disguised, RANGE);
        self.join("pending", 5, "pending", &member, RANGE);
        self.leave("pending", 5, "pending", &[&member]);
    }

    fn offsets(&mut self, topic: Uuid) {
        let group = "offsets";
        let nobody = Member::new("nobody");
        let mixed: &[(i32, i64)] = &[(0, 5), (7, 1), (-1, 1), (1, -5)];
        for version in 2..=9 {
            self.commit(
                "mixed",
                version,
                group,
                &nobody,
                -1,
                &[("t", mixed), ("nope", &[(0, 1)])],
                Some("m"),
            );
            let member = Member::new("m").with_id("m");
            self.commit("no such group", version, "none", &member, 3, &[("t", &[(0, 1)])], None);
        }
        self.commit_by_id(topic, group);
        self.commit_by_id(Uuid([9; 16]), group);
        self.commit_by_id(Uuid::ZERO, group);
        self.commit("no topics", 9, group, &nobody, -1, &[], None);
        let member = Member::fixed("m", "i").with_id("m");
        self.commit("generation", 9, group, &member, 3, &[("t", &[(0, 1)])], None);
        self.commit("no generation", 9, group, &member, -1, &[("t", &[(0, 3)])], None);
        self.commit("long", 9, group, &nobody, -1, &[("t", &[(0, 1)])], Some(&"x".repeat(4_097)));
        self.commit("fits", 9, group, &nobody, -1, &[("t", &[(2, 1)])], Some(&"y".repeat(4_096)));
        self.commit("short", 9, group, &nobody, -1, &[("t", &[(2, 1)])], Some(""));
        for version in 1..=9 {
            self.fetch("some", version, group, Some(&[("t", &[0, 1, 2, 3]), ("nope", &[0])]));
            self.fetch("no such group", version, "none", Some(&[("t", &[0])]));
            self.fetch("no topics", version, group, Some(&[]));
            if version >= 2 {
                self.fetch("all", version, group, None);
                self.fetch("all of no such group", version, "none", None);
            }
        }
        self.fetch_by_id(group, Some(&[topic, Uuid([9; 16]), Uuid::ZERO]));
        self.fetch_by_id(group, None);
        self.describe("simple", group);
        self.list(&[], &[], group);
        self.delete_offsets("some", group, &[("t", &[0]), ("nope", &[0])]);
        self.delete_offsets("some", group, &[("t", &[5])]);
        self.fetch("after delete", 8, group, None);
        self.delete("simple", group);
    }
}

// ---- Requests ----

impl Script {
    fn named(&self, name: &str) -> Text {
        // The names that are the same everywhere are those of what does not exist.
        if name.is_empty() { text("") } else { text(&format!("{name}{}", self.suffix)) }
    }

    fn join_request(
        &self,
        group: &str,
        member: &Member,
        offer: Offer<'_>,
    ) -> join_group::JoinGroupRequest<'static> {
        join_group::JoinGroupRequest {
            group_id: self.named(group),
            session_timeout_ms: 60_000,
            rebalance_timeout_ms: 60_000,
            member_id: text(&member.id),
            group_instance_id: member.instance.map(text),
            protocol_type: text("consumer"),
            protocols: offer
                .iter()
                .map(|(name, metadata)| join_group::JoinGroupRequestProtocol {
                    name: text(name),
                    metadata: Blob::Owned(metadata.as_bytes().to_vec()),
                })
                .collect(),
            reason: None,
        }
    }

    fn ask_to_join(&mut self, version: i16, group: &str, member: &Member, offer: Offer<'_>) {
        let request = self.join_request(group, member, offer);
        self.send(member.name, ApiKey::JoinGroup, version, &request);
    }

    fn joined(
        &mut self,
        what: &str,
        version: i16,
        member: &Member,
    ) -> join_group::JoinGroupResponse<'static> {
        let mut response: join_group::JoinGroupResponse<'static> =
            self.receive(member.name, ApiKey::JoinGroup, version);
        let id = response.member_id.to_string();
        if !id.is_empty() && id != "stranger" && !self.names.contains_key(&id) {
            let name = format!("<{}{}>", member.name, self.names.len());
            self.names.insert(id, name);
        }
        // The order of ids is chance. A leader's answer is read last, so that all ids in it have names.
        response.members.sort_by_key(|one| self.names.get(&*one.member_id).cloned());
        self.write(&format!("{what} join"), version, &response);
        response
    }

    fn join(
        &mut self,
        what: &str,
        version: i16,
        group: &str,
        member: &Member,
        offer: Offer<'_>,
    ) -> join_group::JoinGroupResponse<'static> {
        self.ask_to_join(version, group, member, offer);
        self.joined(what, version, member)
    }

    fn sync_request(
        &self,
        group: &str,
        member: &Member,
        generation: i32,
        given: &[(&Member, &str)],
    ) -> sync_group::SyncGroupRequest<'static> {
        sync_group::SyncGroupRequest {
            group_id: self.named(group),
            generation_id: generation,
            member_id: text(&member.id),
            group_instance_id: member.instance.map(text),
            protocol_type: Some(text("consumer")),
            protocol_name: Some(text("range")),
            assignments: given
                .iter()
                .map(|(member, assignment)| sync_group::SyncGroupRequestAssignment {
                    member_id: text(&member.id),
                    assignment: Blob::Owned(assignment.as_bytes().to_vec()),
                })
                .collect(),
        }
    }

    fn ask_to_sync(
        &mut self,
        version: i16,
        group: &str,
        member: &Member,
        generation: i32,
        given: &[(&Member, &str)],
    ) {
        let request = self.sync_request(group, member, generation, given);
        self.send(member.name, ApiKey::SyncGroup, version, &request);
    }

    fn synced(&mut self, what: &str, version: i16, member: &Member) {
        let response: sync_group::SyncGroupResponse<'_> =
            self.receive(member.name, ApiKey::SyncGroup, version);
        self.write(&format!("{what} sync"), version, &response);
    }

    fn sync(
        &mut self,
        what: &str,
        version: i16,
        group: &str,
        member: &Member,
        generation: i32,
        given: &[(&Member, &str)],
    ) {
        self.ask_to_sync(version, group, member, generation, given);
        self.synced(what, version, member);
    }

    fn beat(&mut self, what: &str, group: &str, member: &Member, generation: i32) {
        for version in [0, 4] {
            let request = heartbeat::HeartbeatRequest {
                group_id: self.named(group),
                generation_id: generation,
                member_id: text(&member.id),
                group_instance_id: member.instance.map(text),
            };
            self.send("beats", ApiKey::Heartbeat, version, &request);
            let response: heartbeat::HeartbeatResponse = self.receive("beats", ApiKey::Heartbeat, version);
            self.write(&format!("{what} heartbeat"), version, &response);
        }
    }

    fn leave(&mut self, what: &str, version: i16, group: &str, members: &[&Member]) {
        let identity = |member: &&Member| leave_group::MemberIdentity {
            member_id: text(&member.id),
            group_instance_id: member.instance.map(text),
            reason: None,
        };
        let request = leave_group::LeaveGroupRequest {
            group_id: self.named(group),
            member_id: text(&members[0].id),
            members: if version >= 3 { members.iter().map(identity).collect() } else { Vec::new() },
        };
        self.send("admin", ApiKey::LeaveGroup, version, &request);
        let response: leave_group::LeaveGroupResponse<'_> =
            self.receive("admin", ApiKey::LeaveGroup, version);
        self.write(&format!("{what} leave"), version, &response);
    }

    fn describe(&mut self, what: &str, group: &str) {
        for version in [0, 5, 6] {
            let request = describe_groups::DescribeGroupsRequest {
                groups: vec![self.named(group)],
                include_authorized_operations: version >= 3,
            };
            self.send("admin", ApiKey::DescribeGroups, version, &request);
            let mut response: describe_groups::DescribeGroupsResponse<'_> =
                self.receive("admin", ApiKey::DescribeGroups, version);
            for group in &mut response.groups {
                group.members.sort_by_key(|member| self.names.get(&*member.member_id).cloned());
                group.error_message = group.error_message.take().map(|_| text("…"));
            }
            self.write(&format!("{what} describe"), version, &response);
        }
    }

    fn list(&mut self, states: &[&str], types: &[&str], group: &str) {
        let request = list_groups::ListGroupsRequest {
            states_filter: states.iter().map(|name| text(name)).collect(),
            types_filter: types.iter().map(|name| text(name)).collect(),
        };
        for version in [0, 4, 5] {
            if (version < 4 && !states.is_empty()) || (version < 5 && !types.is_empty()) {
                continue;
            }
            self.send("admin", ApiKey::ListGroups, version, &request);
            let mut response: list_groups::ListGroupsResponse<'_> =
                self.receive("admin", ApiKey::ListGroups, version);
            let name = self.named(group);
            response.groups.retain(|listed| listed.group_id == name);
            self.write("list", version, &response);
        }
    }

    fn delete(&mut self, what: &str, group: &str) {
        for version in [0, 2] {
            let request = delete_groups::DeleteGroupsRequest { groups_names: vec![self.named(group)] };
            self.send("admin", ApiKey::DeleteGroups, version, &request);
            let response: delete_groups::DeleteGroupsResponse<'_> =
                self.receive("admin", ApiKey::DeleteGroups, version);
            self.write(&format!("{what} delete"), version, &response);
        }
    }

    #[allow(clippy::too_many_arguments)] // A request with all that can be wrong about it.
    fn commit(
        &mut self,
        what: &str,
        version: i16,
        group: &str,
        member: &Member,
        generation: i32,
        topics: &[(&str, &[(i32, i64)])],
        metadata: Option<&str>,
    ) {
        let partition =
            |&(partition_index, committed_offset): &(i32, i64)| offset_commit::OffsetCommitRequestPartition {
                partition_index,
                committed_offset,
                committed_leader_epoch: 0,
                committed_metadata: metadata.map(text),
            };
        let topics = topics.iter().map(|(name, partitions)| offset_commit::OffsetCommitRequestTopic {
            name: self.named(name),
            topic_id: Uuid::ZERO,
            partitions: partitions.iter().map(partition).collect(),
        });
        let request = offset_commit::OffsetCommitRequest {
            group_id: self.named(group),
            generation_id_or_member_epoch: generation,
            member_id: text(&member.id),
            group_instance_id: member.instance.map(text),
            retention_time_ms: -1,
            topics: topics.collect(),
        };
        self.committed(what, version, &request);
    }

    fn commit_by_id(&mut self, topic_id: Uuid, group: &str) {
        let partition = |partition_index| offset_commit::OffsetCommitRequestPartition {
            partition_index,
            committed_offset: 9,
            ..Default::default()
        };
        let topic = offset_commit::OffsetCommitRequestTopic {
            name: text(""),
            topic_id,
            partitions: vec![partition(0), partition(7)],
        };
        let request = offset_commit::OffsetCommitRequest {
            group_id: self.named(group),
            topics: vec![topic],
            ..Default::default()
        };
        self.committed("by id", 10, &request);
    }

    fn committed(&mut self, what: &str, version: i16, request: &offset_commit::OffsetCommitRequest<'_>) {
        self.send("admin", ApiKey::OffsetCommit, version, request);
        let mut response: offset_commit::OffsetCommitResponse<'_> =
            self.receive("admin", ApiKey::OffsetCommit, version);
        response.topics.sort_by_key(|topic| topic.name.clone());
        for topic in &mut response.topics {
            topic.partitions.sort_by_key(|partition| partition.partition_index);
            topic.topic_id = shown(topic.topic_id);
        }
        self.write(&format!("{what} commit"), version, &response);
    }

    fn fetch(&mut self, what: &str, version: i16, group: &str, topics: Option<&[(&str, &[i32])]>) {
        let group_id = self.named(group);
        let request = if version < 8 {
            let one = |(name, partitions): &(&str, &[i32])| offset_fetch::OffsetFetchRequestTopic {
                name: self.named(name),
                partition_indexes: partitions.to_vec(),
            };
            let topics = topics.map(|topics| topics.iter().map(one).collect());
            offset_fetch::OffsetFetchRequest { group_id, topics, ..Default::default() }
        } else {
            let one = |(name, partitions): &(&str, &[i32])| offset_fetch::OffsetFetchRequestTopics {
                name: self.named(name),
                topic_id: Uuid::ZERO,
                partition_indexes: partitions.to_vec(),
            };
            let topics = topics.map(|topics| topics.iter().map(one).collect());
            let group = offset_fetch::OffsetFetchRequestGroup { group_id, topics, ..Default::default() };
            offset_fetch::OffsetFetchRequest {
                groups: vec![group],
                require_stable: version == 9,
                ..Default::default()
            }
        };
        self.fetched(what, version, &request);
    }

    fn fetch_by_id(&mut self, group: &str, topics: Option<&[Uuid]>) {
        let one = |&topic_id: &Uuid| offset_fetch::OffsetFetchRequestTopics {
            name: text(""),
            topic_id,
            partition_indexes: vec![0, 1],
        };
        let group = offset_fetch::OffsetFetchRequestGroup {
            group_id: self.named(group),
            topics: topics.map(|topics| topics.iter().map(one).collect()),
            ..Default::default()
        };
        let request = offset_fetch::OffsetFetchRequest { groups: vec![group], ..Default::default() };
        self.fetched("by id", 10, &request);
    }

    fn fetched(&mut self, what: &str, version: i16, request: &offset_fetch::OffsetFetchRequest<'_>) {
        self.send("admin", ApiKey::OffsetFetch, version, request);
        let mut response: offset_fetch::OffsetFetchResponse<'_> =
            self.receive("admin", ApiKey::OffsetFetch, version);
        response.topics.sort_by_key(|topic| topic.name.clone());
        for topic in &mut response.topics {
            topic.partitions.sort_by_key(|partition| partition.partition_index);
        }
        for topic in response.groups.iter_mut().flat_map(|group| &mut group.topics) {
            topic.partitions.sort_by_key(|partition| partition.partition_index);
            topic.topic_id = shown(topic.topic_id);
        }
        for group in &mut response.groups {
            group.topics.sort_by_key(|topic| (topic.name.clone(), topic.topic_id));
        }
        self.write(&format!("{what} fetch"), version, &response);
    }

    fn delete_offsets(&mut self, what: &str, group: &str, topics: &[(&str, &[i32])]) {
        let partition =
            |&partition_index: &i32| offset_delete::OffsetDeleteRequestPartition { partition_index };
        let topics = topics.iter().map(|(name, partitions)| offset_delete::OffsetDeleteRequestTopic {
            name: self.named(name),
            partitions: partitions.iter().map(partition).collect(),
        });
        let request =
            offset_delete::OffsetDeleteRequest { group_id: self.named(group), topics: topics.collect() };
        self.send("admin", ApiKey::OffsetDelete, 0, &request);
        let mut response: offset_delete::OffsetDeleteResponse<'_> =
            self.receive("admin", ApiKey::OffsetDelete, 0);
        response.topics.sort_by_key(|topic| topic.name.clone());
        self.write(&format!("{what} delete offsets"), 0, &response);
    }
}

/// Ids of topics are chance, except those that we made up.
fn shown(topic_id: Uuid) -> Uuid {
    if topic_id.is_zero() || topic_id == Uuid([9; 16]) { topic_id } else { Uuid([1; 16]) }
}

// ---- The wire ----

impl Script {
    fn connection(&mut self, name: &str) -> &mut TcpStream {
        let address = &self.address;
        self.connections.entry(name.to_owned()).or_insert_with(|| {
            let stream = TcpStream::connect(address).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
            stream
        })
    }

    fn send(&mut self, connection: &str, api: ApiKey, version: i16, body: &impl Encode) {
        let header = RequestHeader {
            api_key: api.key(),
            api_version: version,
            correlation_id: 7,
            client_id: Some(Str::Borrowed("client")),
        };
        let frame = request_frame(&header, body, Vec::new()).to_vec();
        self.connection(connection).write_all(&frame).expect("a request is sent");
    }

    fn receive<R: Decode<'static>>(&mut self, connection: &str, api: ApiKey, version: i16) -> R {
        let stream = self.connection(connection);
        let mut length = [0; 4];
        stream
            .read_exact(&mut length)
            .unwrap_or_else(|error| panic!("no answer to {} version {version}: {error}", api.name()));
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer).expect("a whole answer");
        // The answer borrows from it, and there are but a few hundred.
        let (_, mut body) = decode_response_header(answer.leak(), api, version).expect("a header");
        R::decode(&mut body, version).expect("a body")
    }

    /// Sees that the member's request is parked.
    fn waits(&mut self, member: &Member) {
        let stream = self.connection(member.name);
        stream.set_read_timeout(Some(Duration::from_millis(150))).expect("a time limit");
        let waits = stream.peek(&mut [0]).is_err();
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
        writeln!(self.transcript, "{} waits: {waits}", member.name).expect("memory");
    }

    fn write(&mut self, what: &str, version: i16, response: &impl Debug) {
        let mut line = format!("{response:?}");
        for (id, name) in &self.names {
            line = line.replace(id, name);
        }
        if !self.suffix.is_empty() {
            line = line.replace(&self.suffix, "");
        }
        writeln!(self.transcript, "{what} v{version}: {line}").expect("memory");
    }
}
