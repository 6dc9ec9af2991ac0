//! Four times as many clients as the server has places for: some are answered, the others are turned away at once, and nothing piles
//! up. Short; `cargo bench --bench serving` measures the same against real networks.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cenet_serve::backend::Backend;
use cenet_serve::batch::BatchPolicy;
use cenet_serve::config::LimitOptions;
use cenet_serve::error::Result;
use futures_util::future::join_all;
use ndarray::{ArrayD, Axis};
use support::{MeanColor, batching_model, blue_png, engine, limits, post, serving};

const PLACES: usize = 16;
const CLIENTS: usize = 4 * PLACES;
const REQUESTS_EACH: usize = 100;

/// Takes its time over a batch, however large, and counts.
struct Slow {
    pictures: Arc<AtomicUsize>,
    largest_batch: Arc<AtomicUsize>,
}

impl Backend for Slow {
    fn infer(&mut self, input: ArrayD<f32>) -> Result<Vec<ArrayD<f32>>> {
        std::thread::sleep(Duration::from_millis(4));
        self.pictures.fetch_add(input.len_of(Axis(0)), Ordering::Relaxed);
        self.largest_batch.fetch_max(input.len_of(Axis(0)), Ordering::Relaxed);
        MeanColor.infer(input)
    }
}

#[tokio::test]
async fn who_finds_no_place_is_turned_away_and_the_rest_is_answered() {
    let (pictures, largest_batch) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let slow = || Box::new(Slow { pictures: Arc::clone(&pictures), largest_batch: Arc::clone(&largest_batch) });
    let policy = BatchPolicy { max_size: 4, max_delay: Duration::ZERO };
    let model = batching_model("colors", vec![slow(), slow()], policy, PLACES);
    let engine = engine(model, &LimitOptions { max_images_in_flight: 256, ..limits() });
    let service = serving(&engine);
    let places = engine.models.catalog().models().next().map(|model| Arc::clone(&model.admission)).expect("a model");
    let most_in_flight = AtomicUsize::new(0);
    let started = Instant::now();
    let client = async || {
        let mut outcomes = Vec::new();
        for _ in 0..REQUESTS_EACH {
            let asked = Instant::now();
            let status = post(&service, "/classify", "image/png", blue_png()).await.status.as_u16();
            outcomes.push((status, asked.elapsed()));
            most_in_flight.fetch_max(places.in_flight(), Ordering::Relaxed);
            // who is turned away comes again with the others
            tokio::task::yield_now().await;
        }
        outcomes
    };
    let outcomes: Vec<_> = join_all((0..CLIENTS).map(|_| client())).await.into_iter().flatten().collect();
    let of_status = |wanted: u16| {
        let mut latencies: Vec<_> = outcomes.iter().filter(|(status, _)| *status == wanted).map(|one| one.1).collect();
        latencies.sort();
        latencies
    };
    let (answered, refused) = (of_status(200), of_status(429));
    println!(
        "{} answered in {:?}, p99 {:?}; {} refused, p99 {:?}",
        answered.len(),
        started.elapsed(),
        answered[answered.len() * 99 / 100],
        refused.len(),
        refused[refused.len() * 99 / 100],
    );
    assert_eq!(answered.len() + refused.len(), CLIENTS * REQUESTS_EACH, "nothing else is answered");
    assert!(answered.len() >= PLACES, "those who find a place are answered");
    assert_eq!(pictures.load(Ordering::Relaxed), answered.len(), "the network saw no picture that was turned away");
    assert!(most_in_flight.load(Ordering::Relaxed) <= PLACES, "no more are let in than there are places");
    assert_eq!(places.in_flight(), 0, "every place was given back");
    assert_eq!(largest_batch.load(Ordering::Relaxed), 4, "batches grew while the network was busy");
}
