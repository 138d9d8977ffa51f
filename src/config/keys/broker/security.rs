//! Authentication, encryption and authorization.

use crate::config::keys::{ConfigKey, LOGIN, TLS, key};
use crate::config::value::Allowed::{Any, AtLeast, Between, OneOf, OneOfAnyCase};
use crate::config::value::ValueType::{Boolean, Class, Double, Int, List, Long, Password, Short, String};

/// The rows: a line for the key, a line for its documentation.
#[rustfmt::skip]
pub(super) const KEYS: &[ConfigKey] = &[
    key("authorizer.class.name", String, Some(""), Any).acts()
        .doc("Java class that decides who may do what; empty leaves everything open. With org.apache.kafka.metadata.authorizer.StandardAuthorizer, the only one here, the ACLs decide; nobody logs in yet, so every client is User:ANONYMOUS."),
    key("connection.failed.authentication.delay.ms", Int, Some("100"), AtLeast(0)).not_yet(LOGIN)
        .doc("How long a connection whose login failed is kept before it is closed."),
    key("connections.max.reauth.ms", Long, Some("0"), Any).not_yet(LOGIN)
        .doc("How long a login lasts before it has to be renewed; 0 is for ever."),
    key("delegation.token.expiry.check.interval.ms", Long, Some("3600000"), AtLeast(1)).not_yet(LOGIN)
        .doc("How often delegation tokens that ran out are removed."),
    key("delegation.token.expiry.time.ms", Long, Some("86400000"), AtLeast(1)).not_yet(LOGIN)
        .doc("How long a delegation token lasts unless renewed."),
    key("delegation.token.max.lifetime.ms", Long, Some("604800000"), AtLeast(1)).not_yet(LOGIN)
        .doc("How long a delegation token can be renewed at most."),
    key("delegation.token.secret.key", Password, None, Any).not_yet(LOGIN)
        .doc("Secret that signs delegation tokens; without it there are none."),
    key("early.start.listeners", List, None, Any)
        .doc("Listeners that open before the authorizer is ready."),
    key("listener.security.protocol.map", String, Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"), Any).per_broker().acts()
        .doc("What each listener name stands for, as NAME:PROTOCOL items. Only PLAINTEXT is served so far."),
    key("principal.builder.class", Class, Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"), Any).per_broker()
        .doc("Java class that turns a login into a principal."),
    key("sasl.client.callback.handler.class", Class, None, Any)
        .doc("Java class that gives the broker's own logins their answers."),
    key("sasl.enabled.mechanisms", List, Some("GSSAPI"), Any).per_broker().not_yet(LOGIN)
        .doc("SASL mechanisms that clients may use."),
    key("sasl.jaas.config", Password, None, Any).per_broker().not_yet(LOGIN)
        .doc("Login modules and their secrets, in the form of a JAAS file."),
    key("sasl.kerberos.kinit.cmd", String, Some("/usr/bin/kinit"), Any).per_broker()
        .doc("Path of the kinit command."),
    key("sasl.kerberos.min.time.before.relogin", Long, Some("60000"), Any).per_broker()
        .doc("Least time between two Kerberos logins of the broker."),
    key("sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT"), Any).per_broker()
        .doc("Rules that shorten Kerberos principals to user names."),
    key("sasl.kerberos.service.name", String, None, Any).per_broker()
        .doc("Kerberos principal name that the broker runs as."),
    key("sasl.kerberos.ticket.renew.jitter", Double, Some("0.05"), Any).per_broker()
        .doc("Random share added to the time of renewing a Kerberos ticket."),
    key("sasl.kerberos.ticket.renew.window.factor", Double, Some("0.8"), Any).per_broker()
        .doc("Share of a Kerberos ticket's life after which it is renewed."),
    key("sasl.login.callback.handler.class", Class, None, Any)
        .doc("Java class that answers the questions of a login module."),
    key("sasl.login.class", Class, None, Any)
        .doc("Java class that logs in."),
    key("sasl.login.connect.timeout.ms", Int, None, Any)
        .doc("How long connecting to an identity provider may take."),
    key("sasl.login.read.timeout.ms", Int, None, Any)
        .doc("How long an identity provider's answer may take."),
    key("sasl.login.refresh.buffer.seconds", Short, Some("300"), Any).per_broker()
        .doc("Time before the end of a credential that is kept free for renewing it."),
    key("sasl.login.refresh.min.period.seconds", Short, Some("60"), Any).per_broker()
        .doc("Least time between two renewals of a credential."),
    key("sasl.login.refresh.window.factor", Double, Some("0.8"), Any).per_broker()
        .doc("Share of a credential's life after which it is renewed."),
    key("sasl.login.refresh.window.jitter", Double, Some("0.05"), Any).per_broker()
        .doc("Random share added to the time of renewing a credential."),
    key("sasl.login.retry.backoff.max.ms", Long, Some("10000"), Any)
        .doc("Longest wait before an identity provider is asked again."),
    key("sasl.login.retry.backoff.ms", Long, Some("100"), Any)
        .doc("First wait before an identity provider is asked again."),
    key("sasl.mechanism.controller.protocol", String, Some("GSSAPI"), Any)
        .doc("SASL mechanism between brokers and controllers."),
    key("sasl.mechanism.inter.broker.protocol", String, Some("GSSAPI"), Any).per_broker()
        .doc("SASL mechanism between brokers."),
    key("sasl.oauthbearer.allow.unverified.audience", Boolean, Some("false"), Any).not_yet(LOGIN)
        .doc("Whether a token without an expected audience to compare with is accepted."),
    key("sasl.oauthbearer.allow.unverified.issuer", Boolean, Some("false"), Any).not_yet(LOGIN)
        .doc("Whether a token without an expected issuer to compare with is accepted."),
    key("sasl.oauthbearer.assertion.algorithm", String, Some("RS256"), OneOfAnyCase(&["ES256", "RS256"]))
        .doc("Algorithm that signs the assertion by which the broker asks for a token."),
    key("sasl.oauthbearer.assertion.claim.aud", String, None, Any)
        .doc("Audience claim of the assertion by which the broker asks for a token."),
    key("sasl.oauthbearer.assertion.claim.exp.seconds", Int, Some("300"), Between(0, 86_400))
        .doc("Life of the assertion by which the broker asks for a token."),
    key("sasl.oauthbearer.assertion.claim.iss", String, None, Any)
        .doc("Issuer claim of the assertion by which the broker asks for a token."),
    key("sasl.oauthbearer.assertion.claim.jti.include", Boolean, Some("false"), Any)
        .doc("Whether the assertion by which the broker asks for a token carries an id."),
    key("sasl.oauthbearer.assertion.claim.nbf.seconds", Int, Some("60"), Between(0, 3600))
        .doc("Seconds before now from which the assertion is valid."),
    key("sasl.oauthbearer.assertion.claim.sub", String, None, Any)
        .doc("Subject claim of the assertion by which the broker asks for a token."),
    key("sasl.oauthbearer.assertion.file", String, None, Any)
        .doc("File with a finished assertion by which the broker asks for a token."),
    key("sasl.oauthbearer.assertion.private.key.file", String, None, Any)
        .doc("File with the key that signs the assertion."),
    key("sasl.oauthbearer.assertion.private.key.passphrase", Password, None, Any)
        .doc("Passphrase of the key that signs the assertion."),
    key("sasl.oauthbearer.assertion.template.file", String, None, Any)
        .doc("File with headers and claims for the assertion."),
    key("sasl.oauthbearer.client.credentials.client.id", String, None, Any)
        .doc("Client id by which the broker asks for a token."),
    key("sasl.oauthbearer.client.credentials.client.secret", Password, None, Any)
        .doc("Client secret by which the broker asks for a token."),
    key("sasl.oauthbearer.clock.skew.seconds", Int, Some("30"), Any).not_yet(LOGIN)
        .doc("Seconds by which the clocks of broker and identity provider may differ."),
    key("sasl.oauthbearer.expected.audience", List, Some(""), Any).not_yet(LOGIN)
        .doc("Audiences of which a token must name one."),
    key("sasl.oauthbearer.expected.issuer", String, None, Any).not_yet(LOGIN)
        .doc("Issuer that a token must name."),
    key("sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, Some("3600000"), Any).not_yet(LOGIN)
        .doc("How often the keys of the identity provider are fetched again."),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Long, Some("10000"), Any).not_yet(LOGIN)
        .doc("Longest wait before a failed fetch of keys is tried again."),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long, Some("100"), Any).not_yet(LOGIN)
        .doc("First wait before a failed fetch of keys is tried again."),
    key("sasl.oauthbearer.jwks.endpoint.url", String, None, Any).not_yet(LOGIN)
        .doc("Address of the identity provider's keys, by which tokens are verified."),
    key("sasl.oauthbearer.jwt.retriever.class", Class, Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"), Any)
        .doc("Java class that fetches the broker's own token."),
    key("sasl.oauthbearer.jwt.validator.class", Class, Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"), Any)
        .doc("Java class that verifies tokens."),
    key("sasl.oauthbearer.scope", String, None, Any)
        .doc("Scope that the broker asks for with its own token."),
    key("sasl.oauthbearer.scope.claim.name", String, Some("scope"), Any).not_yet(LOGIN)
        .doc("Name of a token's claim that lists scopes."),
    key("sasl.oauthbearer.sub.claim.name", String, Some("sub"), Any).not_yet(LOGIN)
        .doc("Name of a token's claim that names the user."),
    key("sasl.oauthbearer.token.endpoint.url", String, None, Any)
        .doc("Address at which the broker asks for its own token."),
    key("sasl.server.callback.handler.class", Class, None, Any)
        .doc("Java class that verifies logins."),
    key("sasl.server.max.receive.size", Int, Some("524288"), Any).not_yet(LOGIN)
        .doc("Largest message of a login."),
    key("security.inter.broker.protocol", String, Some("PLAINTEXT"), OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]))
        .doc("Protocol between brokers."),
    key("security.providers", String, None, Any)
        .doc("Java classes that provide security algorithms."),
    key("ssl.allow.dn.changes", Boolean, Some("false"), Any).not_yet(TLS)
        .doc("Whether a certificate may be replaced by one with another distinguished name while running."),
    key("ssl.allow.san.changes", Boolean, Some("false"), Any).not_yet(TLS)
        .doc("Whether a certificate may be replaced by one with other alternative names while running."),
    key("ssl.cipher.suites", List, Some(""), Any).per_broker().not_yet(TLS)
        .doc("Cipher suites to offer; empty offers all that are considered safe."),
    key("ssl.client.auth", String, Some("none"), OneOf(&["required", "requested", "none"])).per_broker().not_yet(TLS)
        .doc("Whether clients must, may or need not show a certificate."),
    key("ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3"), Any).per_broker().not_yet(TLS)
        .doc("TLS versions to offer."),
    key("ssl.endpoint.identification.algorithm", String, Some("https"), Any).per_broker()
        .doc("How the name of a server is compared with its certificate."),
    key("ssl.engine.factory.class", Class, None, Any).per_broker()
        .doc("Java class that makes TLS engines."),
    key("ssl.key.password", Password, None, Any).per_broker().not_yet(TLS)
        .doc("Password of the private key."),
    key("ssl.keymanager.algorithm", String, Some("SunX509"), Any).per_broker()
        .doc("Java's algorithm of the key manager."),
    key("ssl.keystore.certificate.chain", Password, None, Any).per_broker().not_yet(TLS)
        .doc("Certificate chain of the broker, in PEM."),
    key("ssl.keystore.key", Password, None, Any).per_broker().not_yet(TLS)
        .doc("Private key of the broker, in PEM."),
    key("ssl.keystore.location", String, None, Any).per_broker().not_yet(TLS)
        .doc("File with the broker's certificate and key."),
    key("ssl.keystore.password", Password, None, Any).per_broker().not_yet(TLS)
        .doc("Password of the file with the broker's certificate and key."),
    key("ssl.keystore.type", String, Some("JKS"), Any).per_broker().not_yet(TLS)
        .doc("Format of the file with the broker's certificate and key."),
    key("ssl.principal.mapping.rules", String, Some("DEFAULT"), Any).not_yet(TLS)
        .doc("Rules that turn a certificate's distinguished name into a user name."),
    key("ssl.protocol", String, Some("TLSv1.3"), Any).per_broker().not_yet(TLS)
        .doc("TLS version preferred."),
    key("ssl.provider", String, None, Any).per_broker()
        .doc("Java's provider of TLS."),
    key("ssl.secure.random.implementation", String, None, Any).per_broker()
        .doc("Java's source of random numbers."),
    key("ssl.trustmanager.algorithm", String, Some("PKIX"), Any).per_broker()
        .doc("Java's algorithm of the trust manager."),
    key("ssl.truststore.certificates", Password, None, Any).per_broker().not_yet(TLS)
        .doc("Certificates that are trusted, in PEM."),
    key("ssl.truststore.location", String, None, Any).per_broker().not_yet(TLS)
        .doc("File with the certificates that are trusted."),
    key("ssl.truststore.password", Password, None, Any).per_broker().not_yet(TLS)
        .doc("Password of the file with the certificates that are trusted."),
    key("ssl.truststore.type", String, Some("JKS"), Any).per_broker().not_yet(TLS)
        .doc("Format of the file with the certificates that are trusted."),
    key("allow.everyone.if.no.acl.found", Boolean, Some("false"), Any).internal().acts()
        .doc("Whether a resource that no ACL fits is open to everyone; with an authorizer only."),
    key("super.users", String, Some(""), Any).internal().acts()
        .doc("Principals that may do everything whatever the ACLs say, as User:name separated by semicolons; with an authorizer only."),
];
