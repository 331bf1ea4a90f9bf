//! Completions by whole forward passes of the training model: for devices on which this program has no kernels.
//!
//! Every token costs a pass over all that came before it. The copies of a prompt are read together, and nothing with
//! them, so that what a prompt becomes does not depend on the prompts beside it.

use rayon::prelude::*;

use crate::model::error::ModelError;
use crate::model::packed::Packed;
use crate::model::sampler::{Completion, Ended, Prompt, Sampling};
use crate::model::transformer::Transformer;

use super::choose::Chooser;
use super::shard::take;

/// Completes prompts, in the order of prompts and copies.
pub fn generate(
    model: &Transformer,
    pool: &rayon::ThreadPool,
    prompts: &[Prompt],
    sampling: &Sampling,
    ended: Ended<'_>,
) -> Result<Vec<Completion>, ModelError> {
    let complete = |prompt: &Prompt| complete(model, prompt, sampling, ended);
    let groups: Vec<Vec<Completion>> = if model.device().at_once(pool.current_num_threads()) == 1 {
        prompts.iter().map(complete).collect::<Result<_, _>>()?
    } else {
        pool.install(|| prompts.par_iter().map(complete).collect::<Result<_, _>>())?
    };
    Ok(groups.concat())
}

/// The completions of one prompt.
fn complete(
    model: &Transformer,
    prompt: &Prompt,
    sampling: &Sampling,
    ended: Ended<'_>,
) -> Result<Vec<Completion>, ModelError> {
    let row = |copy| Completion { row: prompt.row + copy, ids: Vec::new(), log_probs: Vec::new(), stopped: false };
    let mut completions: Vec<Completion> = (0..prompt.copies as u64).map(row).collect();
    let mut live: Vec<usize> = (0..completions.len()).collect();
    if prompt.ids.is_empty() || sampling.max_new == 0 {
        return Ok(completions);
    }
    let mut chooser = Chooser::new(sampling);
    for token in 0..sampling.max_new {
        // All copies begin alike.
        let read = if token == 0 { live.get(..1).unwrap_or_default() } else { &live };
        let mut packed = Packed::default();
        let mut last = Vec::with_capacity(read.len());
        for at in read {
            packed.push(&[prompt.ids.as_slice(), &completions[*at].ids].concat());
            last.push(packed.ids.len() as u32 - 1);
        }
        if last.is_empty() {
            break;
        }
        let logits = model.logits(&packed, &last, sampling.temperature)?;
        let width = logits.len() / last.len();
        let mut rows = logits.chunks_exact(width).cycle();
        live.retain(|at| {
            let Some(logits) = rows.next() else { return false };
            let completion = &mut completions[*at];
            let choice = chooser.choose(logits, completion.row, token as u64, [&prompt.ids, &completion.ids]);
            !take(completion, choice, sampling, ended)
        });
    }
    Ok(completions)
}
