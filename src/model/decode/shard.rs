//! One thread's share of a generation: rows enter as others leave, and a pass reads one token of each.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::model::sampler::{Completion, Ended, Prompt, Sampling};

use super::cache::Cache;
use super::choose::{Choice, Chooser};
use super::decoder::{Decoder, Terms};
use super::pass::{Entry, Room};

/// Rows that a shard reads at once: enough to use each weight many times while it is near, and few enough that their
/// caches are near as well.
const WIDTH: usize = 32;

/// Prompt tokens that a pass reads at once.
const PROMPT_TOKENS: usize = 256;

/// Copies of a prompt that are taken together at least, because each taking reads the prompt anew.
const TOGETHER: usize = 8;

/// The completions that no shard has taken yet.
#[derive(Debug)]
pub struct Queue<'a> {
    prompts: &'a [Prompt],
    next: Mutex<Next>,
}

#[derive(Debug, Default)]
struct Next {
    prompt: usize,
    copy: usize,
    slot: usize,
}

/// Some copies of one prompt, to be completed by one shard.
#[derive(Debug)]
struct Claim<'a> {
    prompt: &'a Prompt,
    copies: std::ops::Range<usize>,
    /// The place of the first copy's completion among all.
    slot: usize,
}

impl<'a> Queue<'a> {
    #[must_use]
    pub fn new(prompts: &'a [Prompt]) -> Self {
        Self { prompts, next: Mutex::new(Next::default()) }
    }

    fn claim(&self, most: usize) -> Option<Claim<'a>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        while self.prompts.get(next.prompt)?.copies == next.copy {
            next.prompt += 1;
            next.copy = 0;
        }
        let prompt = &self.prompts[next.prompt];
        let end = prompt.copies.min(next.copy + most);
        let claim = Claim { prompt, copies: next.copy..end, slot: next.slot };
        next.slot += end - next.copy;
        next.copy = end;
        Some(claim)
    }
}

/// The work of one thread.
pub struct Shard<'a> {
    decoder: &'a Decoder,
    sampling: &'a Sampling,
    ended: Ended<'a>,
    terms: &'a Terms,
    chooser: Chooser<'a>,
    /// Rows that this shard reads at once.
    width: usize,
    waiting: VecDeque<Read<'a>>,
    rows: Vec<Row<'a>>,
    /// The cache of each row.
    caches: Vec<Cache>,
    logits: Vec<f32>,
    room: Room,
    done: Vec<(usize, Completion)>,
}

/// A prompt that has been read, and copies of it that have not begun.
#[derive(Debug)]
struct Read<'a> {
    claim: Claim<'a>,
    cache: Cache,
    logits: Vec<f32>,
}

/// A completion in the making.
#[derive(Debug)]
struct Row<'a> {
    slot: usize,
    prompt: &'a [u32],
    /// Tokens in the cache.
    length: usize,
    completion: Completion,
}

impl<'a> Shard<'a> {
    /// A shard that takes its even share of `rows` among `shards`.
    #[must_use]
    pub fn new(
        decoder: &'a Decoder,
        sampling: &'a Sampling,
        ended: Ended<'a>,
        terms: &'a Terms,
        rows: usize,
        shards: usize,
    ) -> Self {
        Self {
            decoder,
            sampling,
            ended,
            terms,
            chooser: Chooser::new(sampling),
            width: rows.div_ceil(shards).min(WIDTH),
            waiting: VecDeque::new(),
            rows: Vec::new(),
            caches: Vec::new(),
            logits: Vec::new(),
            room: Room::default(),
            done: Vec::new(),
        }
    }

    /// Completes rows until the queue is empty; returns them with their places.
    #[must_use]
    pub fn run(mut self, queue: &Queue<'a>) -> Vec<(usize, Completion)> {
        loop {
            let claims = self.claim(queue);
            self.read_prompts(claims);
            if self.begin() == 0 && self.rows.is_empty() {
                return self.done;
            }
            self.step();
        }
    }

    fn claim(&self, queue: &Queue<'a>) -> Vec<Claim<'a>> {
        let mut planned = self.rows.len() + self.waiting.iter().map(|it| it.claim.copies.len()).sum::<usize>();
        let mut claims = Vec::new();
        while planned < self.width {
            let most = (self.width - planned).max(TOGETHER.min(self.width));
            let Some(claim) = queue.claim(most) else { break };
            planned += claim.copies.len();
            claims.push(claim);
        }
        claims
    }

    /// Reads prompts into caches, as many tokens at a time as a pass takes.
    fn read_prompts(&mut self, claims: Vec<Claim<'a>>) {
        let mut caches: Vec<Cache> = claims.iter().map(|_| self.decoder.cache()).collect();
        let mut firsts: Vec<Vec<f32>> = vec![Vec::new(); claims.len()];
        let entries: Vec<Entry> = claims
            .iter()
            .enumerate()
            .flat_map(|(sequence, claim)| {
                let ids = claim.prompt.ids.iter().enumerate();
                ids.map(move |(position, token)| Entry { sequence, token: *token, position })
            })
            .collect();
        for entries in entries.chunks(PROMPT_TOKENS) {
            let last = |entry: &Entry| entry.position + 1 == claims[entry.sequence].prompt.ids.len();
            let wanted: Vec<usize> = (0..entries.len()).filter(|at| last(&entries[*at])).collect();
            self.decoder.read(entries, &mut caches, self.terms, &wanted, &mut self.logits, &mut self.room);
            for (row, logits) in wanted.iter().zip(self.logits.chunks_exact(self.decoder.vocabulary())) {
                firsts[entries[*row].sequence] = logits.to_vec();
            }
        }
        for ((claim, cache), logits) in claims.into_iter().zip(caches).zip(firsts) {
            let cache = cache.share(claim.prompt.ids.len());
            self.waiting.push_back(Read { claim, cache, logits });
        }
    }

    /// Begins waiting copies while there is width for them; returns how many.
    fn begin(&mut self) -> usize {
        let mut begun = 0;
        while self.rows.len() < self.width
            && let Some(read) = self.waiting.front_mut()
        {
            let Some(copy) = read.claim.copies.next() else {
                self.waiting.pop_front();
                continue;
            };
            begun += 1;
            let name = read.claim.prompt.row + copy as u64;
            let completion = Completion { row: name, ids: Vec::new(), log_probs: Vec::new(), stopped: false };
            let prompt = read.claim.prompt.ids.as_slice();
            let mut row = Row { slot: read.claim.slot, prompt, length: prompt.len(), completion };
            read.claim.slot += 1;
            let finished = read.logits.is_empty()
                || self.sampling.max_new == 0
                || row.take(self.chooser.choose(&read.logits, name, 0, [prompt, &[]]), self.sampling, self.ended);
            if finished {
                self.done.push((row.slot, row.completion));
            } else {
                self.rows.push(row);
                self.caches.push(read.cache.clone());
            }
        }
        begun
    }

    /// Reads the last token of every row and chooses the next.
    fn step(&mut self) {
        let token = |row: &Row| row.completion.ids.last().copied().unwrap_or_default();
        let rows = self.rows.iter().enumerate();
        let entries: Vec<Entry> =
            rows.map(|(sequence, row)| Entry { sequence, token: token(row), position: row.length }).collect();
        if entries.is_empty() {
            return;
        }
        let wanted: Vec<usize> = (0..entries.len()).collect();
        self.decoder.read(&entries, &mut self.caches, self.terms, &wanted, &mut self.logits, &mut self.room);
        // From the last row to the first, because a row that leaves is replaced by the last.
        for (at, logits) in self.logits.chunks_exact(self.decoder.vocabulary()).enumerate().rev() {
            let row = &mut self.rows[at];
            row.length += 1;
            let ids = &row.completion.ids;
            let choice = self.chooser.choose(logits, row.completion.row, ids.len() as u64, [row.prompt, ids]);
            if row.take(choice, self.sampling, self.ended) {
                let row = self.rows.swap_remove(at);
                self.caches.swap_remove(at);
                self.done.push((row.slot, row.completion));
            }
        }
    }
}

impl Row<'_> {
    /// Adds a token; whether the row is finished by it.
    fn take(&mut self, choice: Choice, sampling: &Sampling, ended: Ended) -> bool {
        take(&mut self.completion, choice, sampling, ended)
    }
}

/// Adds a token to a completion; whether it is finished by it.
pub(super) fn take(completion: &mut Completion, choice: Choice, sampling: &Sampling, ended: Ended) -> bool {
    completion.ids.push(choice.token);
    completion.log_probs.push(choice.log_prob);
    completion.stopped = sampling.stop.contains(&choice.token) || ended(&completion.ids);
    completion.stopped || completion.ids.len() == sampling.max_new
}
