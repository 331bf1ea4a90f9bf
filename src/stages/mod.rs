//! The built-in stages: one file each, and the registry that lists them.

mod asking;
mod batches;
mod best;
mod card;
mod cast;
pub mod checkpoint;
mod command;
pub mod context;
mod conversation;
mod dataset;
mod decontaminate;
mod dedupe;
mod documents;
pub mod dpo;
pub mod estimate;
mod eval;
mod eval_pairs;
mod eval_reward;
mod filler;
mod filter;
mod fit;
pub mod formula;
pub mod grpo;
mod init;
mod judge;
mod labels;
mod likelihood;
mod load;
mod load_reward_model;
mod load_tokenizer;
mod merge;
mod mix;
mod pairs;
mod part;
mod preference;
mod pretrain;
mod problems;
mod reject;
pub mod review;
pub mod reward_model;
mod rewrite;
mod rollout;
mod sample;
pub mod scorer;
mod sft;
pub mod slopes;
mod split;
mod survey;
mod take;
mod tokenizer;
mod trainer;
mod training;

use std::{collections::BTreeMap, path::PathBuf};

use serde_json::Value;

pub use checkpoint::Checkpoints;
pub use context::{Context, Progress, StageError};
pub use merge::models_of as models_of_merge;

/// A built-in stage: its name in the language, its version, and its code.
pub struct Stage {
    pub name: &'static str,
    /// Part of every key. It changes whenever the same arguments and inputs would give other bytes.
    pub version: u32,
    pub run: fn(&Context) -> Result<(), StageError>,
    /// Looks at the files that a stage reads from outside the store, before a run writes anything; None where it reads none.
    pub check: Option<Check>,
    /// Says of a step's arguments whether a run with a larger `budget` may go on from its end, or why not; None where
    /// the stage has no budget. It may where no step before that end depends on how many come after.
    pub extends: Option<Extends>,
}

/// Takes the arguments.
pub type Extends = fn(&Value) -> Result<(), String>;

/// Takes the arguments and the files that arguments of type `path` name.
pub type Check = fn(&Value, &BTreeMap<String, PathBuf>) -> Result<(), StageError>;

/// Every built-in stage, by name.
pub const REGISTRY: &[Stage] = &[
    best::STAGE,
    cast::STAGE,
    command::STAGE,
    dataset::STAGE,
    decontaminate::STAGE,
    dedupe::STAGE,
    documents::STAGE,
    dpo::STAGE,
    eval::STAGE,
    eval_pairs::STAGE,
    eval_reward::STAGE,
    filler::STAGE,
    filter::STAGE,
    grpo::STAGE,
    init::STAGE,
    judge::STAGE,
    labels::STAGE,
    load::STAGE,
    load_reward_model::STAGE,
    load_tokenizer::STAGE,
    merge::ARCEE_FUSION,
    merge::BREADCRUMBS,
    merge::BREADCRUMBS_TIES,
    merge::DARE_LINEAR,
    merge::DARE_TIES,
    merge::DELLA,
    merge::DELLA_LINEAR,
    merge::EMA,
    merge::FROM,
    merge::KARCHER,
    merge::LINEAR,
    merge::MODEL_STOCK,
    merge::MULTISLERP,
    merge::NEARSWAP,
    merge::NUSLERP,
    merge::PASSTHROUGH,
    merge::RAM,
    merge::RAMPLUS_TL,
    merge::SCE,
    merge::SLERP,
    merge::TASK_ARITHMETIC,
    merge::TIES,
    mix::STAGE,
    pairs::STAGE,
    pretrain::STAGE,
    problems::STAGE,
    reject::STAGE,
    review::STAGE,
    reward_model::STAGE,
    rewrite::STAGE,
    sample::STAGE,
    sft::STAGE,
    split::STAGE,
    take::STAGE,
    tokenizer::STAGE,
];

/// The stage of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Stage> {
    REGISTRY.iter().find(|stage| stage.name == name)
}
