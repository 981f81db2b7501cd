"""The known state of records at one connection, and the situations that the kernel decides on."""

from dataclasses import dataclass, field, replace

from zenskar import kernel
from zenskar.kernel import Candidate, Situation
from zenskar.model.coverage import Coverage
from zenskar.model.observation import Observation
from zenskar.model.record import OPEN, ExternalMapping, Intent, IntentKind, Record
from zenskar.plugins.carried import whole
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.sync.work.candidates import CandidateSearch


@dataclass(slots=True)
class KnownState:
    """The records, mappings and pushes of one transaction, loaded and then kept up to date."""

    source: ConfiguredConnection
    entity_type: str
    records: dict[str, Record] = field(default_factory=dict)
    mappings: dict[str, ExternalMapping] = field(default_factory=dict)
    by_record: dict[str, ExternalMapping] = field(default_factory=dict)
    intents: dict[str, tuple[Intent, ...]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    """Records whose objects were deleted or detached in this transaction."""
    lapsed: frozenset[str] = frozenset()
    _unread: set[str] = field(default_factory=set)
    ahead: int = 0
    """By how many microseconds, at most, the external clock is ahead of ours."""
    coverage: Coverage | None = field(init=False)
    """The parts of a record that travel to the connection; None for all."""
    search: CandidateSearch = field(init=False)
    """The records that unknown objects may match, where the connection is configured so."""

    def __post_init__(self) -> None:
        self.coverage = self.source.coverage(self.entity_type)
        self.search = CandidateSearch(self.source.match_by.get(self.entity_type, ()))

    @property
    def name(self) -> str:
        """The source system."""
        return self.source.connection.name

    @property
    def carried(self) -> frozenset[str] | None:
        """The stored form of the coverage; None for all."""
        return None if self.coverage is None else self.coverage.terms

    def shared(self, record: Record) -> Record:
        """Return a record with the fields that the connection covers."""
        if self.coverage is None:
            return record
        return replace(record, fields=self.coverage.of(record.fields))

    def pushed(self, record_id: str) -> Record:
        """Return a record with the fields that its object is to hold."""
        record, mapping = self.records[record_id], self.by_record.get(record_id)
        if self.coverage is None:
            return record
        base = mapping.base if mapping is not None and mapping.active else {}
        return replace(record, fields=self.coverage.pushed(record.fields, base))

    def add_mapping(self, mapping: ExternalMapping, about: frozenset[str] | None) -> None:
        """Add a stored mapping, whose base is about the fields that were covered then.

        A field that is covered now and was not then needs a fetch before a push.
        """
        if about != self.carried:
            present = self.coverage or whole(self.entity_type)
            earlier = whole(self.entity_type) if about is None else Coverage.of_terms(about)
            if not present.within(earlier):
                self._unread.add(mapping.external_id)
            mapping = replace(mapping, base=present.still_about(earlier, mapping.base))
        self.mappings[mapping.external_id] = mapping
        if mapping.entity_id in self.records:
            # The live one comes first, else the newest tombstone.
            self.by_record.setdefault(mapping.entity_id, mapping)

    def situation_of(self, seen: Observation) -> Situation:
        """Return the situation of an observed object."""
        mapping = self.mappings.get(seen.external_id)
        owner = mapping.entity_id if mapping is not None else None
        record_id = owner or seen.record_id or ""
        known = self.by_record.get(record_id)
        rival = known if known and known.external_id != seen.external_id else None
        record = self.records.get(record_id)
        situation = Situation(
            record=record and self._dated(self.shared(record)),
            mapping=mapping,
            intents=self.intents.get(record_id, ()),
            rival=rival,
            successor=self.mappings.get(seen.merged_into) if seen.merged_into else None,
        )
        if mapping is not None or record is not None or not self.search.is_matched(seen):
            return situation
        return replace(situation, candidates=self._candidates(seen), match_by=self.search.match_by)

    def _candidates(self, seen: Observation) -> tuple[Candidate, ...]:
        living = (self.records[i] for i in self.search.of(seen) if i in self.records)
        return tuple(
            Candidate(
                self._dated(self.shared(record)),
                free=record.id not in self.by_record and not self.has_open_create(record.id),
            )
            for record in living
            if not record.deleted
        )

    def has_open_create(self, record_id: str) -> bool:
        """Return whether a create of a record has no answer yet."""
        pushes = self.intents.get(record_id, ())
        return any(i.kind is IntentKind.CREATE and i.state in OPEN for i in pushes)

    def _last_successor(self, seen: Observation, successor_id: str) -> str:
        """Return the last object of a chain of merges; of a circle, the one that was seen."""
        passed, last = {seen.external_id}, successor_id
        while last not in passed:
            passed.add(last)
            mapping = self.mappings.get(last)
            if mapping is None or mapping.merged_into is None:
                return last
            last = mapping.merged_into
        return successor_id

    def _dated(self, record: Record) -> Record:
        """Return a record with its last change dated on the external clock, as late as possible."""
        return replace(record, updated_at=record.updated_at + self.ahead) if self.ahead else record

    def planned_situation(self, record_id: str) -> Situation:
        """Return the situation of a record, for planning."""
        record, mapping = self.records.get(record_id), self.by_record.get(record_id)
        if mapping is not None and mapping.external_id in self._unread:
            mapping = replace(mapping, fetch_revision=mapping.revision)
        return Situation(
            record=record and self.pushed(record_id),
            mapping=mapping,
            intents=tuple(i for i in self.intents.get(record_id, ()) if i.state in OPEN),
        )

    def _ends(self, record_id: str, mapping: ExternalMapping) -> bool:
        """Whether a tombstone ends its record at this connection.

        A merge of objects may not, and a former object of a record does not.
        """
        if kernel.is_former(mapping):
            return False
        record = self.records.get(record_id)
        return mapping.merged_into is None or (record is not None and record.deleted)
