//! Stands in for an Alertmanager in the demo: takes alerts over the same API and prints a line
//! for each page and each resolution.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::clock;
use crate::model::Timestamp;

/// The part of an alert that is printed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    ends_at: Option<String>,
}

/// Which alerts fire, by name and SLO.
type Firing = Arc<Mutex<BTreeMap<String, bool>>>;

/// Starts the receiver on a free port of loopback.
///
/// # Errors
/// No port can be had.
pub async fn start() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port on loopback")?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/api/v2/alerts", post(take)).with_state(Firing::default());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

async fn take(State(firing): State<Firing>, Json(alerts): Json<Vec<Alert>>) -> StatusCode {
    let now = clock::wall_now();
    for alert in alerts.iter().filter(|alert| alert.labels.contains_key("slo")) {
        let label = |name: &str| alert.labels.get(name).map_or("", String::as_str);
        let ends_at = alert.ends_at.as_ref().and_then(|at| at.parse::<Timestamp>().ok());
        let fires = ends_at.is_none_or(|at| at > now);
        let key = format!("{} {}", label("alertname"), label("slo"));
        let mut firing = firing.lock().unwrap_or_else(PoisonError::into_inner);
        // Alerts are sent again and again; only a change is news.
        if firing.insert(key.clone(), fires).unwrap_or(false) == fires {
            continue;
        }
        let word = match (fires, label("severity")) {
            (false, _) => "resolved",
            (true, "critical") => "PAGE    ",
            (true, _) => "ticket  ",
        };
        let text = alert.annotations.get("description").map_or("", String::as_str);
        println!("{}  {word}  {key}", now.floor_second());
        if fires {
            println!("                        {text}");
        }
    }
    StatusCode::OK
}
