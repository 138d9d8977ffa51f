//! Deliberate faults, to see that the tests notice them. Without the feature `planted` there are none.

/// Whether the fault is the one that `QUIPU_PLANTED` names.
#[cfg(feature = "planted")]
pub(crate) fn planted(fault: &str) -> bool {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var("QUIPU_PLANTED").ok()).as_deref() == Some(fault)
}

/// Never.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub(crate) const fn planted(_: &str) -> bool {
    false
}
