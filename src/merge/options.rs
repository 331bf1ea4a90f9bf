//! What a person may say beside the configuration.

/// How a merge is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Names the random numbers of the methods that drop at random.
    pub seed: u64,
    /// The most bytes of one file.
    pub shard: u64,
    pub experts: Experts,
    pub extra: Extra,
    pub biases: Biases,
}

/// How the experts of one mixture find their counterparts in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Experts {
    /// Nothing is known of the models' descent, so mixtures are refused.
    Unknown,
    /// The models descend from one base: the n-th expert of one is the n-th of the other.
    SameBase,
    /// As `SameBase`, where the routers bear it out; else an error.
    Verified,
    /// By the likeness of their weights.
    Permute,
}

/// What becomes of layers that predict further tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    Merge,
    /// Those of the base, or of the first model.
    Keep,
    Drop,
}

/// What becomes of the biases that balance the load of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Biases {
    Merge,
    /// Those of the base, or of the first model.
    Keep,
}

impl Options {
    /// As large as mergekit's files.
    pub const SHARD: u64 = 5_000_000_000;
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, shard: Self::SHARD, experts: Experts::Unknown, extra: Extra::Merge, biases: Biases::Merge }
    }
}
