//! Configuration from the environment, by the rule of the official Kafka image: a name that begins with `KAFKA_`
//! loses that, goes to small letters, and `_` becomes `.`; `__` stands for an underscore, `___` for a dash.

/// Names the image's own scripts read; they are not keys.
const NOT_KEYS: &[&str] = &[
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_JMX_HOSTNAME",
];

/// The key that an environment variable sets, if it sets one. `CLUSTER_ID` is the image's name for `cluster.id`.
pub fn key_of(variable: &str) -> Option<String> {
    if variable == "CLUSTER_ID" {
        return Some("cluster.id".to_owned());
    }
    if NOT_KEYS.contains(&variable) {
        return None;
    }
    let name = variable.strip_prefix("KAFKA_").filter(|name| !name.is_empty())?;
    // The image replaces every underscore first and looks for runs of dots after that, from the left.
    let dotted = name.to_ascii_lowercase().replace('_', ".");
    Some(dotted.replace("...", "-").replace("..", "_"))
}

/// The entries in `variables`, in the order of their names so that two runs see the same.
pub fn entries(variables: impl IntoIterator<Item = (String, String)>) -> Vec<(String, String, String)> {
    let mut entries: Vec<_> = variables
        .into_iter()
        .filter_map(|(variable, value)| key_of(&variable).map(|key| (variable, key, value)))
        .collect();
    entries.sort();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_image() {
        for (variable, key) in [
            ("KAFKA_NUM_PARTITIONS", "num.partitions"),
            (
                "KAFKA_LISTENER_NAME_INTERNAL_SASL_ENABLED_MECHANISMS",
                "listener.name.internal.sasl.enabled.mechanisms",
            ),
            ("KAFKA_LISTENER_NAME_SASL__SSL_SSL_CLIENT_AUTH", "listener.name.sasl_ssl.ssl.client.auth"),
            (
                "KAFKA_LISTENER_NAME_A_SCRAM___SHA___256_SASL_JAAS_CONFIG",
                "listener.name.a.scram-sha-256.sasl.jaas.config",
            ),
            ("KAFKA_A____B", "a-.b"),
            ("CLUSTER_ID", "cluster.id"),
        ] {
            assert_eq!(key_of(variable).as_deref(), Some(key), "{variable}");
        }
    }

    #[test]
    fn the_images_own_names_are_no_keys() {
        for variable in
            ["KAFKA_OPTS", "KAFKA_HEAP_OPTS", "KAFKA_VERSION", "KAFKA_", "PATH", "kafka_node_id", "QUIPU_LOG"]
        {
            assert_eq!(key_of(variable), None, "{variable}");
        }
    }
}
