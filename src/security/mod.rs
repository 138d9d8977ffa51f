//! Who somebody is and what they may do. Nobody logs in yet: every client is [`authorizer::ANONYMOUS`], and what that one
//! may do is decided by the [`authorizer`], if one is configured.

pub mod acl;
pub mod authorizer;
pub mod scram;
