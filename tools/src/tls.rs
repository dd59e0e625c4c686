//! How TLS is done, by every client in the program: rustls with `ring`, which needs neither a library of the system nor cmake.
//!
//! Deliberately not here: any way to trust less or more than the certificates inside (a bare container has none of its own) and the
//! machine's (a company's proxy has its own).

use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore};

/// The one configuration. Reading the machine's certificates takes some milliseconds, so it is done once, at the first use.
#[must_use]
pub fn tls() -> ClientConfig {
    static CONFIG: OnceLock<ClientConfig> = OnceLock::new();
    CONFIG.get_or_init(build).clone()
}

fn build() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    // What cannot be read or is no certificate is passed over: those inside are there in any case.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("ring has the default versions; a test builds it");
    builder.with_root_certificates(roots).with_no_client_auth()
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_can_be_built_and_there_is_a_client_with_it() {
        let client = reqwest::Client::builder().tls_backend_preconfigured(super::tls()).build();
        assert!(client.is_ok(), "{client:?}");
    }
}
