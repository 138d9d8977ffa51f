//! Which addresses to open and which to tell clients: `listeners` and `advertised.listeners`, checked.

use super::listener::{self, Listener, SecurityProtocol};
use super::origin::Origin;
use super::settings::Check;

impl Check<'_> {
    /// Listeners and advertised listeners.
    pub(super) fn addresses(&mut self) -> (Vec<Listener>, Vec<Listener>) {
        let map = self.layers.text("listener.security.protocol.map").unwrap_or_default();
        let map = listener::parse_map(&map).unwrap_or_else(|problem| {
            self.unusable("listener.security.protocol.map", problem);
            Vec::new()
        });
        // The image derives listeners from advertised ones when only those are in the environment.
        let derived = !self.layers.is_set("listeners")
            && matches!(self.origin("advertised.listeners"), Origin::Environment(_));
        let listeners = if derived {
            let mut all = self.listener_list("advertised.listeners", &map);
            for listener in &mut all {
                listener.host = "0.0.0.0".to_owned();
            }
            all
        } else {
            self.listener_list("listeners", &map)
        };
        let advertised = self.listener_list("advertised.listeners", &map);
        if listeners.is_empty() && self.errors.is_empty() {
            self.unusable(
                "listeners",
                "names no listener for clients, for example PLAINTEXT://127.0.0.1:9092",
            );
        }
        for listener in &advertised {
            if !listeners.iter().any(|known| known.name == listener.name) {
                self.unusable(
                    "advertised.listeners",
                    format!("{} is not one of listeners; add it there", listener.name),
                );
            }
            if matches!(listener.host.as_str(), "0.0.0.0" | "::") {
                self.unusable(
                    "advertised.listeners",
                    format!(
                        "clients cannot connect to {}; name the host that they use, or leave the key out",
                        listener.host
                    ),
                );
            }
        }
        (listeners, advertised)
    }

    fn listener_list(&mut self, key: &'static str, map: &[(String, SecurityProtocol)]) -> Vec<Listener> {
        let controllers: Vec<String> = self
            .layers
            .list("controller.listener.names")
            .iter()
            .map(|name| name.to_ascii_uppercase())
            .collect();
        let mut list: Vec<Listener> = Vec::new();
        for item in self.layers.list(key) {
            let (name, host, port) = match listener::parse(&item) {
                Ok(parts) => parts,
                Err(problem) => {
                    self.unusable(key, problem);
                    continue;
                }
            };
            // There is no metadata quorum to talk to, so nothing listens for one.
            if controllers.contains(&name) {
                continue;
            }
            let protocol = match map.iter().find(|(known, _)| *known == name) {
                Some((_, protocol)) => *protocol,
                // `--listen` names addresses; the names in front of them are made up.
                None if matches!(self.origin(key), Origin::Flag(_)) => SecurityProtocol::Plaintext,
                None => {
                    self.unusable(
                        key,
                        format!(
                            "the protocol of {name} is not known; add {name}:PLAINTEXT to listener.security.protocol.map"
                        ),
                    );
                    continue;
                }
            };
            if protocol != SecurityProtocol::Plaintext {
                self.unusable(
                    key,
                    format!(
                        "{name} asks for {}, which this version does not speak; only PLAINTEXT is served",
                        protocol.name()
                    ),
                );
                continue;
            }
            if list.iter().any(|known| known.name == name) {
                self.unusable(key, format!("{name} stands in the list twice"));
                continue;
            }
            if key == "listeners"
                && port != 0
                && list.iter().any(|known| known.port == port && known.host == host)
            {
                self.unusable(key, format!("{item} has the host and port of another listener"));
                continue;
            }
            list.push(Listener { name, protocol, host, port });
        }
        list
    }
}
