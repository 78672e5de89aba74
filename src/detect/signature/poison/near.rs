//! Concepts near each other: what a rule asks for instead of a sentence.

use super::lexicon::{Concepts, Hit};

/// Concepts that must stand near each other.
#[derive(Clone, Debug)]
pub(super) struct Near {
    /// One of each set, in this order unless `any_order`.
    pub(super) steps: Vec<Concepts>,
    /// Most bytes between two that follow each other; without an order, between the first step and any other.
    pub(super) within: usize,
    pub(super) any_order: bool,
    /// Sentences do not limit it.
    pub(super) across: bool,
    /// What in the same sentence excuses it.
    pub(super) unless: Concepts,
}

impl Near {
    /// Everything that it needs at all.
    pub(super) fn possible(&self, present: Concepts) -> bool {
        self.steps.iter().all(|step| step & present != 0)
    }

    /// Places where it holds: start of the first word. Hits come by place.
    pub(super) fn find(&self, hits: &[Hit], out: &mut dyn FnMut(usize, usize)) {
        if self.any_order {
            self.around(hits, out);
        } else {
            self.in_order(hits, out);
        }
    }

    fn excused(&self, hits: &[Hit], hit: &Hit) -> bool {
        self.unless != 0
            && hits
                .iter()
                .any(|other| other.sentence == hit.sentence && self.unless & bit(other) != 0)
    }

    fn together(&self, one: &Hit, other: &Hit) -> bool {
        self.across || one.sentence == other.sentence
    }

    /// For each hit, the latest chain of steps that ends there: the latest is the nearest to what follows, so one pass
    /// is enough.
    fn in_order(&self, hits: &[Hit], out: &mut dyn FnMut(usize, usize)) {
        // By step: the last hits that end a chain so far. Words may overlap, so the newest need not be over yet.
        let mut ends: Vec<Vec<(Hit, usize)>> = vec![Vec::new(); self.steps.len()];
        let mut last = usize::MAX;
        for hit in hits {
            for (number, step) in self.steps.iter().enumerate().rev() {
                if step & bit(hit) == 0 {
                    continue;
                }
                let start = match number.checked_sub(1).and_then(|before| ends.get(before)) {
                    None => Some(hit.start),
                    Some(before) => before
                        .iter()
                        .rev()
                        .find(|(known, _)| {
                            known.end <= hit.start
                                && hit.start.saturating_sub(known.end) <= self.within
                                && self.together(known, hit)
                        })
                        .map(|(_, start)| *start),
                };
                let Some(start) = start else { continue };
                if number.saturating_add(1) == self.steps.len() {
                    if start != last && !self.excused(hits, hit) {
                        out(start, hit.end);
                        last = start;
                    }
                } else if let Some(slot) = ends.get_mut(number) {
                    if slot.len() >= RECENT {
                        slot.remove(0);
                    }
                    slot.push((*hit, start));
                }
            }
        }
    }

    /// All others within reach of a hit of the first step.
    fn around(&self, hits: &[Hit], out: &mut dyn FnMut(usize, usize)) {
        let Some((first, others)) = self.steps.split_first() else {
            return;
        };
        for (at, centre) in hits.iter().enumerate().filter(|(_, hit)| first & bit(hit) != 0) {
            let near = |hit: &&Hit| {
                hit.start <= centre.end.saturating_add(self.within)
                    && centre.start <= hit.end.saturating_add(self.within)
            };
            let apart = |hit: &Hit| hit.end <= centre.start || hit.start >= centre.end;
            let from = at.saturating_sub(REACH);
            let to = at.saturating_add(REACH).min(hits.len());
            let here = hits.get(from..to).unwrap_or_default();
            let holds = others.iter().all(|step| {
                here.iter()
                    .filter(near)
                    .any(|hit| step & bit(hit) != 0 && apart(hit) && self.together(centre, hit))
            });
            if holds && !self.excused(here, centre) {
                out(centre.start, centre.end);
            }
        }
    }
}

/// Ends of chains that are remembered for a step.
const RECENT: usize = 4;
/// Hits before and behind that are looked at.
const REACH: usize = 64;

fn bit(hit: &Hit) -> Concepts {
    1 << hit.concept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(words: &str) -> Vec<Hit> {
        let mut sentence = 0;
        let mut out = Vec::new();
        for (at, c) in words.char_indices() {
            match c {
                '.' => sentence += 1,
                'a'..='e' => out.push(Hit {
                    start: at,
                    end: at + 1,
                    sentence,
                    concept: c as u8 - b'a',
                }),
                _ => {}
            }
        }
        out
    }

    fn near(any_order: bool, across: bool) -> Near {
        Near {
            steps: vec![1, 2, 4],
            within: 4,
            any_order,
            across,
            unless: 16,
        }
    }

    #[test]
    fn order_distance_sentence_excuse() {
        for (words, ordered, free, across) in [
            ("a b c", true, true, true),
            ("a a b b c", true, false, true),
            ("c b a", false, true, false),
            ("a      b c", false, false, false),
            ("a b. c", false, false, true),
            ("a b c e", false, false, false),
            ("a c", false, false, false),
        ] {
            let holds = |near: Near| {
                let mut held = false;
                near.find(&hits(words), &mut |_, _| held = true);
                held
            };
            assert_eq!(holds(near(false, false)), ordered, "{words}");
            assert_eq!(holds(near(true, false)), free, "{words}");
            assert_eq!(holds(near(false, true)), across, "{words}");
        }
    }
}
