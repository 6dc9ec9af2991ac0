//! A model that is loaded anew again and again under load: no request fails, and the memory of what is gone comes back.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use cenet_serve::infer::Engine;
use cenet_serve::model::{Repository, RepositoryOptions};
use support::{blue_png, limits, post, resident_kib, serving};

const MODEL: &str = "ce_resnet_caltech101";
const CLIENTS: usize = 3;

/// Loads the model anew `times`, while clients ask it all the time; how many requests were answered.
async fn reload_under_load(engine: &Arc<Engine>, times: usize) -> usize {
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(ask_until(serving(engine), Arc::clone(&stop), Arc::clone(&answered))))
        .collect();
    for _ in 0..times {
        let (models, before) = (Arc::clone(&engine.models), answered.load(Ordering::Relaxed));
        let reload = tokio::task::spawn_blocking(move || models.load(MODEL, None).map(drop));
        reload.await.expect("no panic").expect("the model is good");
        while answered.load(Ordering::Relaxed) < before + CLIENTS {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("no request failed");
    }
    answered.load(Ordering::Relaxed)
}

async fn ask_until(service: Router, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    while !stop.load(Ordering::Relaxed) {
        let reply = post(&service, "/classify?top_k=1", "image/png", blue_png()).await;
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// The least that the process needs while nothing goes on, as the allocator gives back what was freed.
async fn at_rest_kib() -> usize {
    let mut least = resident_kib();
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..25 {
        ticks.tick().await;
        least = least.min(resident_kib());
    }
    least
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_reloads_under_load_lose_no_request_and_no_memory() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let options = RepositoryOptions { root, first: vec![MODEL.to_owned()], ..RepositoryOptions::default() };
    let models = Repository::open(options).expect("readable");
    let engine = Arc::new(Engine::new(models, &limits()).expect("threads"));
    let first = reload_under_load(&engine, 3).await;
    let after_three = at_rest_kib().await;
    let second = reload_under_load(&engine, 17).await;
    let after_twenty = at_rest_kib().await;
    println!("{} requests; {after_three} KiB after 3 reloads, {after_twenty} KiB after 20", first + second);
    assert!(after_twenty * 10 <= after_three * 11, "{after_twenty} KiB after 20 reloads, {after_three} after 3");
}
