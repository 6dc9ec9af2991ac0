//! The same comparison on a GPU, by CUDA: `cargo bench --bench networks -- --cuda`.

use cenet_serve::manifest::Provider;
use cenet_serve::model::{ModelDirectory, OnnxSession, ProviderOptions, Providers, SessionOptions};

use crate::ways::{Runs, turns};
use crate::{Networks, Options, compare, pictures, report};

const WAYS: [&str; 3] = ["ResNet-50", "CE-ResNet-50, operator's body", "CE-ResNet-50, native kernel"];

/// Times the three in turns and prints them.
pub(crate) fn measure(networks: &Networks, options: &Options) {
    let largest = options.batch.iter().copied().max().unwrap_or(1);
    let mut sessions = [0, 1, 2].map(|way| open(networks, way, largest));
    compare(&mut sessions[1..], 2);
    let mut ways: Vec<_> = WAYS.into_iter().zip(sessions.map(|session| Box::new(session) as Box<dyn Runs>)).collect();
    for &batch in &options.batch {
        let measured = turns(&mut ways, 1, &pictures(batch), options.rounds);
        print!("{}", report::table(&[measured]));
    }
}

fn open(networks: &Networks, way: usize, largest_batch: usize) -> OnnxSession {
    let mut directory: ModelDirectory = if way == 0 { networks.plain.clone() } else { networks.ce.clone() };
    directory.manifest.runtime.cuda.ce_kernel = way == 2;
    let order = vec![Provider::Cuda].try_into().expect("an order");
    let defaults = ProviderOptions { order, strict: true, engine_cache: None };
    let providers = Providers::of(&directory, &defaults, largest_batch).expect("providers");
    let options = SessionOptions { threads: 1, providers, ..SessionOptions::default() };
    let session = OnnxSession::load(&directory.model_path(), &options).expect("CUDA runs it");
    println!("{}: {:?}", WAYS[way], session.placement().nodes);
    session
}
