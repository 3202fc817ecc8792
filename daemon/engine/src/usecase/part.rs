//! Passes over parts of a source, as a recipe says: most of it while a server writes and does what it takes for that, and
//! then what the first pass has left.
//!
//! Always true: what the second pass does not look at stands in the snapshot as the first has read it, with what was
//! noted of it; and nobody is held.

use archive::channel::Packed;
use jiff::Timestamp;

use crate::failure::Failure;
use crate::format::manifest::Consistency;
use crate::usecase::backup::Deed;
use crate::usecase::base::WhyFull;
use crate::usecase::begun::Begun;
use crate::usecase::freeze::Held;
use crate::usecase::index::Signed;
use crate::usecase::pass::Passed;
use crate::usecase::recipe::Recipe;
use crate::usecase::watch::Told;
use crate::words::Number;

impl Deed<'_> {
    /// The first pass, over the part that the recipe says.
    pub(super) async fn read_first(
        &self,
        begun: &Begun,
        recipe: Option<&mut (dyn Recipe + 'static)>,
    ) -> Result<(Passed, Option<WhyFull>), Failure> {
        let Some(recipe) = recipe else { return self.read(begun, None).await };
        let (scope, mut lost) = (recipe.first(), None);
        let read = async {
            let (passed, why) = self.read(begun, scope.as_ref()).await?;
            lost = why;
            Ok(passed)
        };
        let passed = recipe.beside(self, Box::pin(read)).await?;
        Ok((passed, lost))
    }

    /// The second pass, over the part that the recipe says, and the end of the recipe.
    pub(super) async fn read_part(
        &self,
        number: Number,
        taken_at: Timestamp,
        first: Passed,
        parent: Option<&Signed>,
        recipe: &mut dyn Recipe,
    ) -> Result<Passed, Failure> {
        let (incremental, notes) = (first.incremental, first.packed.notes.clone());
        let scope = recipe.part(self).await?;
        let streams = recipe.streams(self);
        self.watch.tell(Told::Step(format!("reading what is left of {}", self.request.source)));
        let read = async {
            let ground = self.ground(number, taken_at, first, parent).await?;
            match self.make(self.prepare_second(&ground, Some(scope))?, streams).await {
                Ok(passed) => Ok(passed),
                Err(ended) => Err(ended.failure(|| self.comparing()).await),
            }
        };
        let Passed { packs, packed, .. } = recipe.beside(self, Box::pin(read)).await?;
        recipe.end(self).await?;
        let consistency = recipe.consistency();
        // Who else is there matters to copies of files, not to what a server says.
        if !matches!(consistency, Consistency::Live | Consistency::Dump) {
            self.nobody_else(std::slice::from_ref(self.source), &[]).await?;
        }
        let packed = Packed { notes: notes.and(packed.notes.clone()), ..packed };
        Ok(Passed { packs, packed, incremental, held: Some(Held { consistency, millis: 0 }) })
    }
}
