//! What a cycle makes of the world, and a run of it.

use super::*;

impl World {
    /// Everything up to the first write; writes nothing.
    pub fn prepare(&self) -> Prepared {
        let snapshot = self.read();
        let known = self.book.known();
        let scope = Scope::resolve(&snapshot, &known, NestedGroups::Flatten);
        let mapping = mapping();
        let target = self.store.capabilities();
        let desire = desire(&scope, &mapping, &known, target);
        let wants = wants(&desire, &known, target);
        let observed = if self.full {
            block_on(for_tests::read_back(self.store.as_ref(), &wants, &known)).unwrap()
        } else {
            block_on(self.store.look_up(&wants))
        };
        let fates = self.fates_of(&scope, &known);
        let managed: BTreeSet<UserAttribute> = mapping.user_expressions().keys().copied().collect();
        let inputs = Inputs {
            profile: "corp",
            scope: &scope,
            desired: &desire.desired,
            kept: &desire.kept,
            known: &known,
            observed: &observed,
            full: self.full,
            fates: &fates,
            target,
            sweep: self.sweep,
            managed: &managed,
            policy: &self.policy,
            now: self.now,
        };
        let plan = plan(&inputs, &snapshot.entries);
        check(&plan);
        let mut findings = desire.findings;
        findings.extend(plan.findings.iter().cloned());
        findings.sort();
        let given =
            Given { approvals: &known.approvals, renames: known.rename_support, distrust: self.distrust };
        let approved = guard(plan, &self.policy, &given);
        let suspects = Suspects::of(&scope, &known, &approved);
        let elapsed = Elapsed {
            now: self.now,
            last_complete_read: known.last_complete_read,
            last_read: known.last_read,
            disable_after: self.policy.lifecycle.disable_after,
        };
        let seen = Seen {
            snapshot: &snapshot,
            scope: &scope,
            known: &known,
            fates: &fates,
            doubtful: &BTreeMap::new(),
            elapsed,
            trusted: self.distrust.is_none(),
        };
        let record = Record::of(&seen, &approved, &suspects, IdentityStoreId::new("d-1234567890"), self.now);
        let complete_read = scope.whole().is_complete();
        let record = record.into_links().into_values().collect();
        Prepared { approved, findings, known, record, complete_read }
    }

    fn fates_of(&self, scope: &Scope<'_>, known: &Known) -> BTreeMap<LinkNo, Fate> {
        let missing = known.links.values().filter(|l| {
            l.target_id.is_some() && !scope.users().contains_key(&l.no) && !scope.groups().contains_key(&l.no)
        });
        let of = |anchor: Anchor| {
            let known = |handle: &String| self.anchor_of(handle) == anchor;
            self.fates.iter().find(|(h, _)| known(h)).map_or(Fate::Absent, |(_, fate)| fate.clone())
        };
        missing.map(|l| (l.no, of(l.anchor))).collect()
    }

    /// Plans and applies, and carries state and target forward.
    pub fn run(&self) -> Ran {
        let (_keep, stop) = tokio::sync::watch::channel(false);
        self.run_until(&stop, Duration::from_secs(60)).unwrap()
    }

    /// `None` where the store crashed the run.
    pub fn run_until(&self, stop: &tokio::sync::watch::Receiver<bool>, time: Duration) -> Option<Ran> {
        self.run_all(stop, time, &|_| {})
    }

    pub fn run_with_progress(&self, progress: &(dyn Fn(&Progress) + Sync)) {
        let (_keep, stop) = tokio::sync::watch::channel(false);
        self.run_all(&stop, Duration::from_secs(60), progress).unwrap();
    }

    /// What a cycle writes down before it applies.
    pub fn register(&self, prepared: &Prepared) {
        self.book.write_links(&prepared.record);
        self.book.read_at(self.now, prepared.complete_read);
    }

    fn run_all(
        &self,
        stop: &tokio::sync::watch::Receiver<bool>,
        time: Duration,
        progress: &(dyn Fn(&Progress) + Sync),
    ) -> Option<Ran> {
        let pending = self.book.pending();
        let mut links = Links::new(self.book.known().links);
        let target: &dyn Target = self.store.as_ref();
        block_on(recover(
            &pending,
            target,
            self.book.as_ref(),
            &mut links,
            &self.book.known().elsewhere,
            self.now,
        ))
        .unwrap();
        let prepared = self.prepare();
        self.register(&prepared);
        let mut links = Links::new(self.book.known().links);
        let pace = Pace { in_flight: self.in_flight, deadline: Instant::now() + time };
        let now = self.now;
        let applied = block_on(async {
            let clock = move || now;
            let work = apply(
                &prepared.approved,
                Arc::clone(&self.store) as Arc<dyn Target>,
                self.book.as_ref(),
                &mut links,
                pace,
                &clock,
                stop,
                progress,
            );
            tokio::select! {
                applied = work => Some(applied.unwrap()),
                () = self.store.crashed() => None,
            }
        })?;
        self.book.finish(&prepared.approved, &applied);
        let mut prepared = prepared;
        prepared.findings.extend(applied.findings.iter().cloned());
        Some(Ran { prepared, applied })
    }

    /// Runs until there is nothing to do, approving everything.
    pub fn settle(&self) {
        for _ in 0..6 {
            let prepared = self.prepare();
            let plan = prepared.approved.plan();
            // Who is found gone gives up names, for which others have waited. An entry is followed by the cycle, not
            // by apply.
            if plan.vanished.is_empty() && plan.steps.iter().all(|s| s.action.sort() == Sort::RebindEntry) {
                return;
            }
            self.book.approve(&prepared.approved);
            self.run();
        }
        panic!("never settles:\n{}", self.prepare().text());
    }

    /// The same with a state and a store of its own.
    pub fn fork(&self) -> Self {
        let book = Arc::new(self.book.copy());
        Self { store: Arc::new(self.store.copy(Arc::clone(&book))), book, ..self.clone() }
    }

    pub fn approve(&self) {
        self.book.approve(&self.prepare().approved);
    }

    pub fn text(&self) -> String {
        self.prepare().text()
    }
}
