//! What a person watches: bars on a terminal, plain lines on a pipe.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::lines;
use crate::run::{Event, Status};

const BAR: &str = "  {prefix:<16}  [{bar:24}] {pos}/{len}  {msg}  {eta} left";
const SPINNER: &str = "  {prefix:<16}  {spinner} {elapsed}";

/// Shows a run as it goes.
pub struct Terminal {
    surface: Surface,
    /// Steps found made since the last other line.
    found: Found,
    started: usize,
}

/// How many steps were found made, and the first and the last of them.
#[derive(Default)]
struct Found {
    count: usize,
    first: String,
    last: String,
}

enum Surface {
    Screen {
        bars: MultiProgress,
        running: BTreeMap<String, ProgressBar>,
    },
    /// With the tenth of each running step that was told last.
    Lines {
        out: Box<dyn Write>,
        told: BTreeMap<String, u64>,
    },
}

impl Terminal {
    /// Bars where standard error is a terminal, lines where it is not.
    #[must_use]
    pub fn on_standard_error() -> Self {
        if io::stderr().is_terminal() {
            Self::with(Surface::Screen { bars: MultiProgress::new(), running: BTreeMap::new() })
        } else {
            Self::lines(Box::new(io::stderr()))
        }
    }

    /// Plain lines, whatever they are written to.
    #[must_use]
    pub fn lines(out: Box<dyn Write>) -> Self {
        Self::with(Surface::Lines { out, told: BTreeMap::new() })
    }

    fn with(surface: Surface) -> Self {
        Self { surface, found: Found::default(), started: 0 }
    }

    /// Shows one event. What cannot be written is let go: the run does not depend on its watchers.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::StepHit { address, .. } => {
                self.surface.end(address);
                self.found.add(address);
                return;
            }
            Event::Progress { address, done, total, unit, metrics } => {
                self.surface.progress(address, *done, *total, unit, metrics);
                return;
            }
            Event::StepStarted { .. } => self.started += 1,
            _ => {}
        }
        self.tell_found();
        if let Event::StepFinished { address, .. }
        | Event::StepFailed { address, .. }
        | Event::StepAsks { address, .. }
        | Event::StepStopped { address } = event
        {
            self.surface.end(address);
        }
        let idle = self.started == 0 && matches!(event, Event::Finished { status: Status::Done, .. });
        let line = if idle { Some("nothing to do: every step is made".to_owned()) } else { lines::line(event) };
        match (&mut self.surface, event) {
            // The bar says it.
            (Surface::Screen { .. }, Event::StepStarted { address, .. }) => self.surface.begin(address),
            (surface, _) => line.iter().for_each(|line| surface.line(line)),
        }
    }

    fn tell_found(&mut self) {
        let Found { count, first, last } = std::mem::take(&mut self.found);
        let line = match count {
            0 => return,
            1 => lines::entry("made", &last, ""),
            _ => lines::entry("made", &super::format::counted(count, "step"), &format!("{first} to {last}")),
        };
        self.surface.line(&line);
    }
}

impl Found {
    fn add(&mut self, address: &str) {
        self.count += 1;
        if self.count == 1 {
            address.clone_into(&mut self.first);
        }
        address.clone_into(&mut self.last);
    }
}

impl Surface {
    fn line(&mut self, line: &str) {
        let _ = match self {
            Self::Screen { bars, .. } => bars.println(line),
            Self::Lines { out, .. } => writeln!(out, "{line}").and_then(|()| out.flush()),
        };
    }

    fn begin(&mut self, address: &str) {
        if let Self::Screen { bars, running } = self {
            let bar = bars.add(ProgressBar::new_spinner().with_prefix(address.to_owned()));
            bar.set_style(style(SPINNER));
            bar.enable_steady_tick(Duration::from_millis(120));
            running.insert(address.to_owned(), bar);
        }
    }

    fn progress(&mut self, address: &str, done: u64, total: u64, unit: &str, metrics: &BTreeMap<String, f64>) {
        match self {
            Self::Screen { running, .. } => {
                let Some(bar) = running.get(address) else { return };
                if bar.length() != Some(total) {
                    bar.set_style(style(BAR).progress_chars("=> "));
                    bar.set_length(total);
                }
                bar.set_position(done);
                bar.set_message(lines::figures(metrics));
            }
            Self::Lines { told, .. } => {
                let tenth = done * 10 / total.max(1);
                // The start and the end have lines of their own.
                let last = told.insert(address.to_owned(), tenth).unwrap_or(0);
                if tenth > last && tenth < 10 {
                    self.line(&lines::progress(address, done, total, unit, metrics));
                }
            }
        }
    }

    fn end(&mut self, address: &str) {
        match self {
            Self::Screen { running, .. } => {
                running.remove(address).iter().for_each(ProgressBar::finish_and_clear);
            }
            Self::Lines { told, .. } => {
                told.remove(address);
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{base::digest::Digest, run::Output};

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(events: &[Event]) -> String {
        let paper = Paper::default();
        let mut terminal = Terminal::lines(Box::new(paper.clone()));
        events.iter().for_each(|event| terminal.show(event));
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    fn hit(address: &str) -> Event {
        Event::StepHit { address: address.into(), stage: "sft".into(), digest: Digest::of(b"") }
    }

    fn progress(done: u64) -> Event {
        let metrics = BTreeMap::from([("loss".into(), 2.3125), ("learning_rate".into(), 1e-3)]);
        Event::Progress { address: "base".into(), done, total: 40, unit: "steps".into(), metrics }
    }

    fn finished(status: Status) -> Event {
        let output = Output { digest: Digest::of(b""), path: "objects".into() };
        Event::Finished { status, outputs: BTreeMap::from([("r1".into(), output)]), seconds: 192.0 }
    }

    #[test]
    fn a_pipe_gets_plain_lines() {
        let mut events = vec![
            Event::Plan { steps: 9, hits: 2, runs: 1, waits: 6, seconds: Some(200.0), recipe: None, sets: Vec::new() },
            hit("tokenizer"),
            hit("train"),
            Event::StepStarted {
                address: "base".into(),
                stage: "pretrain".into(),
                key: Digest::of(b""),
                seconds: Some(185.0),
                files: BTreeMap::new(),
            },
        ];
        events.extend((1..=40).map(progress));
        let metrics = BTreeMap::from([("loss".into(), 1.5)]);
        events.extend([
            Event::StepFinished {
                address: "base".into(),
                digest: Digest::of(b""),
                seconds: 190.2,
                bytes: 2_700_000,
                metrics,
                cost: None,
            },
            Event::StepFailed {
                address: "zero".into(),
                error: "row 3 holds no answer".into(),
                log: Some("logs/a.log".into()),
                metrics: BTreeMap::from([("loss".into(), 2.5)]),
            },
            Event::StepSkipped { address: "dev1".into(), after: "zero".into() },
            hit("test"),
            Event::Gate {
                text: "scores[r1].pass1 >= 0.85".into(),
                passed: false,
                figures: BTreeMap::from([("scores[r1].pass1".into(), 0.734)]),
            },
            finished(Status::Failed),
        ]);
        insta::assert_snapshot!(shown(&events), @r"
        9 steps: 2 made, 7 to run; about 3 min 20 s
          made    2 steps           tokenizer to train
          start   base              pretrain, about 3 min 05 s
          10 %    base              4 of 40 steps, loss 2.3125
          20 %    base              8 of 40 steps, loss 2.3125
          30 %    base              12 of 40 steps, loss 2.3125
          40 %    base              16 of 40 steps, loss 2.3125
          50 %    base              20 of 40 steps, loss 2.3125
          60 %    base              24 of 40 steps, loss 2.3125
          70 %    base              28 of 40 steps, loss 2.3125
          80 %    base              32 of 40 steps, loss 2.3125
          90 %    base              36 of 40 steps, loss 2.3125
          done    base              3 min 10 s, 2.6 MiB, loss 1.5000
          FAILED  zero              row 3 holds no answer
                  the last figures are loss 2.5000
                  its log is logs/a.log
          skip    dev1              zero failed
          made    test
          FAILED  require scores[r1].pass1 >= 0.85  scores[r1].pass1 = 0.7340
        failed after 3 min 12 s: what does not depend on the failed steps is made
        ");
    }

    #[test]
    fn a_run_with_nothing_to_do_says_so() {
        let plan =
            Event::Plan { steps: 2, hits: 2, runs: 0, waits: 0, seconds: Some(0.0), recipe: None, sets: Vec::new() };
        insta::assert_snapshot!(shown(&[plan, hit("a"), hit("b"), finished(Status::Done)]), @r"
        2 steps: 2 made, 0 to run
          made    2 steps           a to b
        nothing to do: every step is made
        ");
    }
}
