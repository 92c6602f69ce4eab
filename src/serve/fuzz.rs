//! A door for the fuzzer: the whole surface without a connection.

use axum::Router;

use super::connections::{Connections, MAX_CONNECTIONS};
use super::routes;
use super::site::Site;

/// Everything that is served.
pub fn router(site: Site) -> Router {
    routes::router(site, Connections::new(MAX_CONNECTIONS), std::sync::Arc::default())
}
