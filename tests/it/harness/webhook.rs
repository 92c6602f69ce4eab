//! A receiver for Alertmanager's webhooks that remembers every notification.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::server::{Reply, Server};

/// The receiver.
pub struct Webhook {
    server: Server,
    received: Arc<Mutex<Vec<Value>>>,
}

impl Webhook {
    /// A receiver on a free port.
    pub fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into())
    }

    /// The same at another address of this machine.
    pub fn start_at(ip: IpAddr) -> Self {
        let received: Arc<Mutex<Vec<Value>>> = Arc::default();
        let sink = received.clone();
        let server = Server::start_at(ip, move |request| {
            let Ok(notification) = serde_json::from_slice(&request.body) else {
                return Some(Reply::text(400, "no JSON\n"));
            };
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(notification);
            Some(Reply::text(200, "thanks\n"))
        });
        Webhook { server, received }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("{}/hook", self.server.url())
    }

    /// Every notification as it came.
    pub fn posts(&self) -> Vec<Vec<u8>> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().map(|post| post.to_string().into_bytes()).collect()
    }

    /// The statuses (`firing`, `resolved`) of every alert of this name that was notified, in
    /// order: one entry per alert and notification.
    pub fn statuses(&self, alertname: &str) -> Vec<String> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let alerts = received.iter().filter_map(|n| n["alerts"].as_array()).flatten();
        alerts
            .filter(|alert| alert["labels"]["alertname"] == alertname)
            .filter_map(|alert| alert["status"].as_str().map(str::to_owned))
            .collect()
    }
}
