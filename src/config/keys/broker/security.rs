//! Authentication, encryption and authorization.

use crate::config::keys::{ConfigKey, key};
use crate::config::value::Allowed::{Any, AtLeast, Between, OneOf, OneOfAnyCase};
use crate::config::value::ValueType::{Boolean, Class, Double, Int, List, Long, Password, Short, String};

/// The rows.
pub(super) const KEYS: &[ConfigKey] = &[
    key("authorizer.class.name", String, Some(""), Any).doc(""),
    key("connection.failed.authentication.delay.ms", Int, Some("100"), AtLeast(0)).doc(""),
    key("connections.max.reauth.ms", Long, Some("0"), Any).doc(""),
    key("delegation.token.expiry.check.interval.ms", Long, Some("3600000"), AtLeast(1)).doc(""),
    key("delegation.token.expiry.time.ms", Long, Some("86400000"), AtLeast(1)).doc(""),
    key("delegation.token.max.lifetime.ms", Long, Some("604800000"), AtLeast(1)).doc(""),
    key("delegation.token.secret.key", Password, None, Any).doc(""),
    key("early.start.listeners", List, None, Any).doc(""),
    key(
        "listener.security.protocol.map",
        String,
        Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
        Any,
    )
    .per_broker()
    .doc(""),
    key(
        "principal.builder.class",
        Class,
        Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"),
        Any,
    )
    .per_broker()
    .doc(""),
    key("sasl.client.callback.handler.class", Class, None, Any).doc(""),
    key("sasl.enabled.mechanisms", List, Some("GSSAPI"), Any).per_broker().doc(""),
    key("sasl.jaas.config", Password, None, Any).per_broker().doc(""),
    key("sasl.kerberos.kinit.cmd", String, Some("/usr/bin/kinit"), Any).per_broker().doc(""),
    key("sasl.kerberos.min.time.before.relogin", Long, Some("60000"), Any).per_broker().doc(""),
    key("sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT"), Any).per_broker().doc(""),
    key("sasl.kerberos.service.name", String, None, Any).per_broker().doc(""),
    key("sasl.kerberos.ticket.renew.jitter", Double, Some("0.05"), Any).per_broker().doc(""),
    key("sasl.kerberos.ticket.renew.window.factor", Double, Some("0.8"), Any).per_broker().doc(""),
    key("sasl.login.callback.handler.class", Class, None, Any).doc(""),
    key("sasl.login.class", Class, None, Any).doc(""),
    key("sasl.login.connect.timeout.ms", Int, None, Any).doc(""),
    key("sasl.login.read.timeout.ms", Int, None, Any).doc(""),
    key("sasl.login.refresh.buffer.seconds", Short, Some("300"), Any).per_broker().doc(""),
    key("sasl.login.refresh.min.period.seconds", Short, Some("60"), Any).per_broker().doc(""),
    key("sasl.login.refresh.window.factor", Double, Some("0.8"), Any).per_broker().doc(""),
    key("sasl.login.refresh.window.jitter", Double, Some("0.05"), Any).per_broker().doc(""),
    key("sasl.login.retry.backoff.max.ms", Long, Some("10000"), Any).doc(""),
    key("sasl.login.retry.backoff.ms", Long, Some("100"), Any).doc(""),
    key("sasl.mechanism.controller.protocol", String, Some("GSSAPI"), Any).doc(""),
    key("sasl.mechanism.inter.broker.protocol", String, Some("GSSAPI"), Any).per_broker().doc(""),
    key("sasl.oauthbearer.allow.unverified.audience", Boolean, Some("false"), Any).doc(""),
    key("sasl.oauthbearer.allow.unverified.issuer", Boolean, Some("false"), Any).doc(""),
    key("sasl.oauthbearer.assertion.algorithm", String, Some("RS256"), OneOfAnyCase(&["ES256", "RS256"]))
        .doc(""),
    key("sasl.oauthbearer.assertion.claim.aud", String, None, Any).doc(""),
    key("sasl.oauthbearer.assertion.claim.exp.seconds", Int, Some("300"), Between(0, 86_400)).doc(""),
    key("sasl.oauthbearer.assertion.claim.iss", String, None, Any).doc(""),
    key("sasl.oauthbearer.assertion.claim.jti.include", Boolean, Some("false"), Any).doc(""),
    key("sasl.oauthbearer.assertion.claim.nbf.seconds", Int, Some("60"), Between(0, 3600)).doc(""),
    key("sasl.oauthbearer.assertion.claim.sub", String, None, Any).doc(""),
    key("sasl.oauthbearer.assertion.file", String, None, Any).doc(""),
    key("sasl.oauthbearer.assertion.private.key.file", String, None, Any).doc(""),
    key("sasl.oauthbearer.assertion.private.key.passphrase", Password, None, Any).doc(""),
    key("sasl.oauthbearer.assertion.template.file", String, None, Any).doc(""),
    key("sasl.oauthbearer.client.credentials.client.id", String, None, Any).doc(""),
    key("sasl.oauthbearer.client.credentials.client.secret", Password, None, Any).doc(""),
    key("sasl.oauthbearer.clock.skew.seconds", Int, Some("30"), Any).doc(""),
    key("sasl.oauthbearer.expected.audience", List, Some(""), Any).doc(""),
    key("sasl.oauthbearer.expected.issuer", String, None, Any).doc(""),
    key("sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, Some("3600000"), Any).doc(""),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Long, Some("10000"), Any).doc(""),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long, Some("100"), Any).doc(""),
    key("sasl.oauthbearer.jwks.endpoint.url", String, None, Any).doc(""),
    key(
        "sasl.oauthbearer.jwt.retriever.class",
        Class,
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
        Any,
    )
    .doc(""),
    key(
        "sasl.oauthbearer.jwt.validator.class",
        Class,
        Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
        Any,
    )
    .doc(""),
    key("sasl.oauthbearer.scope", String, None, Any).doc(""),
    key("sasl.oauthbearer.scope.claim.name", String, Some("scope"), Any).doc(""),
    key("sasl.oauthbearer.sub.claim.name", String, Some("sub"), Any).doc(""),
    key("sasl.oauthbearer.token.endpoint.url", String, None, Any).doc(""),
    key("sasl.server.callback.handler.class", Class, None, Any).doc(""),
    key("sasl.server.max.receive.size", Int, Some("524288"), Any).doc(""),
    key(
        "security.inter.broker.protocol",
        String,
        Some("PLAINTEXT"),
        OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
    )
    .doc(""),
    key("security.providers", String, None, Any).doc(""),
    key("ssl.allow.dn.changes", Boolean, Some("false"), Any).doc(""),
    key("ssl.allow.san.changes", Boolean, Some("false"), Any).doc(""),
    key("ssl.cipher.suites", List, Some(""), Any).per_broker().doc(""),
    key("ssl.client.auth", String, Some("none"), OneOf(&["required", "requested", "none"]))
        .per_broker()
        .doc(""),
    key("ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3"), Any).per_broker().doc(""),
    key("ssl.endpoint.identification.algorithm", String, Some("https"), Any).per_broker().doc(""),
    key("ssl.engine.factory.class", Class, None, Any).per_broker().doc(""),
    key("ssl.key.password", Password, None, Any).per_broker().doc(""),
    key("ssl.keymanager.algorithm", String, Some("SunX509"), Any).per_broker().doc(""),
    key("ssl.keystore.certificate.chain", Password, None, Any).per_broker().doc(""),
    key("ssl.keystore.key", Password, None, Any).per_broker().doc(""),
    key("ssl.keystore.location", String, None, Any).per_broker().doc(""),
    key("ssl.keystore.password", Password, None, Any).per_broker().doc(""),
    key("ssl.keystore.type", String, Some("JKS"), Any).per_broker().doc(""),
    key("ssl.principal.mapping.rules", String, Some("DEFAULT"), Any).doc(""),
    key("ssl.protocol", String, Some("TLSv1.3"), Any).per_broker().doc(""),
    key("ssl.provider", String, None, Any).per_broker().doc(""),
    key("ssl.secure.random.implementation", String, None, Any).per_broker().doc(""),
    key("ssl.trustmanager.algorithm", String, Some("PKIX"), Any).per_broker().doc(""),
    key("ssl.truststore.certificates", Password, None, Any).per_broker().doc(""),
    key("ssl.truststore.location", String, None, Any).per_broker().doc(""),
    key("ssl.truststore.password", Password, None, Any).per_broker().doc(""),
    key("ssl.truststore.type", String, Some("JKS"), Any).per_broker().doc(""),
    key("allow.everyone.if.no.acl.found", Boolean, Some("false"), Any)
        .internal()
        .doc("Whether a resource without any ACL is open to everyone."),
    key("super.users", String, Some(""), Any)
        .internal()
        .doc("Principals that may do everything, as User:name separated by semicolons."),
];
