//! The watch over a flow whose name made it suspicious: from the moment on at which nothing of it can be read, its first
//! records are counted by size and time. Every other flow is bypassed at that moment, and costs nothing here.

use crate::inventory::tally::Tally;
use crate::model::chunk::Chunk;
use crate::model::flow::{FlowInfo, Why};
use crate::model::suspect::Suspect;
use crate::model::visit::Visit;
use crate::proto::tls::watch::Watch;
use crate::stream::layer::Step;

/// See the module. Most flows never give it anything.
#[derive(Debug, Default)]
pub(super) struct Vigil(Option<Box<Post>>);

#[derive(Debug)]
struct Post {
    suspect: Suspect,
    watch: Option<Watch>,
    /// Why nothing of the flow can be read.
    why: Why,
}

impl Vigil {
    /// The flow is one to this suspect.
    pub(super) fn suspect(&mut self, suspect: &Suspect) {
        let post = || {
            let mut suspect = suspect.clone();
            // The flow was told already; only what is seen from now on is added.
            suspect.clients.values_mut().for_each(|visitor| visitor.flows = 0);
            Post {
                suspect,
                watch: None,
                why: Why::Opaque,
            }
        };
        self.0.get_or_insert_with(|| Box::new(post()));
    }

    /// Whether nothing else is looked at any more.
    pub(super) fn watches(&self) -> bool {
        self.0.as_ref().is_some_and(|post| post.watch.is_some())
    }

    /// What follows from a layer's step: a suspect that would be bypassed is watched in its place.
    pub(super) fn instead(&mut self, step: Step, datagrams: bool) -> Step {
        match (&mut self.0, step) {
            (Some(post), Step::Bypass(why)) if why.is_encryption() => {
                post.watch.get_or_insert_with(|| Watch::new(datagrams));
                post.why = why;
                Step::Continue
            }
            _ => step,
        }
    }

    /// Takes the next chunk of a flow under watch.
    pub(super) fn push(&mut self, chunk: &Chunk<'_>) -> Step {
        let goes_on = self
            .0
            .as_mut()
            .and_then(|post| post.watch.as_mut())
            .is_some_and(|watch| watch.push(chunk));
        if goes_on { Step::Continue } else { self.over() }
    }

    /// What the flow ends with when the watch is over.
    pub(super) fn over(&self) -> Step {
        Step::Bypass(self.0.as_ref().map_or(Why::Opaque, |post| post.why))
    }

    /// The watch is over: what was seen is added to the suspect.
    pub(super) fn end(&mut self, info: &FlowInfo, tally: &mut Tally) {
        let Some(Post { mut suspect, watch, .. }) = self.0.take().map(|post| *post) else {
            return;
        };
        let Some(seen) = watch.and_then(Watch::finish) else {
            return;
        };
        let began = info.seen.first;
        for visitor in suspect.clients.values_mut().filter(|visitor| visitor.program) {
            visitor.visits.insert(Visit {
                began,
                asked: seen.asked.unwrap_or([began.time; 2]),
                asks: seen.asks,
                patience: seen.patience,
                ended: seen.ended,
                trickled: seen.trickled,
                mixed: seen.mixed && visitor.lanes,
                ja4: visitor.ja4,
            });
        }
        let shape = seen.shape;
        tally.suspect(Suspect { shape, ..suspect });
    }
}
