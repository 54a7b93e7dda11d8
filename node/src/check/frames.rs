//! Frames: chains without a gap, and entries that stand in the logs where they say.

use ao_consensus::{Chain, Frame, FrameId};
use ao_storage::schema::{self, FrameRow};
use ao_storage::{Error, Table};

use super::{Checker, Wrong, there};

impl Checker<'_> {
    /// Every chain of frames, and every slot's place in one.
    pub(super) fn frames(&mut self) -> Result<(), Error> {
        self.begin("frames");
        let (mut before, mut entries): (Option<(Chain, u64, FrameId)>, u64) = (None, 0);
        self.walk(&schema::FRAMES, |checker, key, row| {
            let place = format!("sequence {} of {}, tenure {}", key.sequence, key.scheduler, key.tenure);
            let Some(frame) = checker.frame(&place, &row) else {
                before = None;
                return Ok(());
            };
            let (header, id) = (&frame.header, frame.header.id());
            if (header.chain.scheduler, header.chain.tenure, header.sequence) != (key.scheduler, key.tenure, key.sequence) {
                checker.contradicts(Table::Frames, &place, "its header says that it is of another place");
            }
            match before.filter(|(chain, ..)| *chain == header.chain) {
                Some((_, sequence, _)) if sequence.checked_add(1) != Some(header.sequence) => {
                    checker.contradicts(Table::Frames, &place, format!("the frame before it is {sequence}"));
                }
                Some((_, _, parent)) if parent != header.parent => {
                    checker.contradicts(Table::Frames, &place, "it does not follow on the frame before it");
                }
                _ => {}
            }
            before = Some((header.chain, header.sequence, id));
            entries += frame.entries.len() as u64;
            for entry in &frame.entries {
                let (place, at) = (format!("slot {} of {}", entry.slot, entry.process), (entry.process, entry.slot));
                if there(schema::FRAME_OF.get(checker.store, &at))? != Some(key.sequence) {
                    checker.contradicts(Table::FrameOf, &place, format!("it stands in frame {}", key.sequence));
                }
                match there(schema::SCHEDULE.get(checker.store, &at))? {
                    Some(row) if (row.item, row.assignment_id) == (entry.item, entry.assignment) => {}
                    Some(_) => checker.contradicts(Table::Schedule, &place, format!("frame {} says something else", key.sequence)),
                    None => checker.contradicts(Table::Frames, &place, format!("frame {} has it, and the log does not", key.sequence)),
                }
            }
            Ok(())
        })?;
        let mut places = 0_u64;
        self.walk(&schema::FRAME_OF, |_, _, _| {
            places += 1;
            Ok(())
        })?;
        if places > entries {
            self.contradicts(Table::FrameOf, "all", format!("{places} slots have a place in a frame, and frames have {entries}"));
        }
        Ok(())
    }

    fn frame(&mut self, place: &str, row: &FrameRow) -> Option<Frame> {
        let read = Frame::decode(&row.frame);
        if let Err(error) = &read {
            self.found(Wrong::Unreadable, Table::Frames, place, error);
        }
        read.ok()
    }
}
