//! Who somebody is and what they may do. So far: what is kept about users and permissions. Nobody logs in yet, and
//! nothing is forbidden yet.

pub mod acl;
pub mod scram;
