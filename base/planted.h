#pragma once
// Known bugs that can be planted, one at a time, to show that the simulator finds them. Only a
// build with -Dplanted_bugs=true has them (the sanitized tests, `tools/dev sim --planted`); in
// every other each of these conditions is the constant false. Never in a program that keeps
// anybody's data.

#include <string_view>

namespace base {

enum class PlantedBug {
    kNone,
    kCommitWithoutQuorum,       // the leader's own disk is enough for a commit
    kVoteNotSynced,             // a vote is given before it is durable
    kStaleReadIndex,            // a leader answers reads without asking whether it still leads
    kLearnerCounts,             // a learner may take a voter's place in a commit
    kAcknowledgeBeforeDurable,  // a follower acknowledges what its disk does not have
    kAppliedApart,              // the data is durable before the applied index (etcd #13766)
    kCommitOldTerm,             // entries of an old term are committed by counting
    kWatchLosesDelete,          // compaction takes a delete that a watch may begin at (etcd #19179)
    kStalledLeaderRevokes,      // a revocation of an old leader counts later (etcd #15247)
    kTailCutTooFar,             // a torn tail takes an intact record with it
    kSnapshotNotAtomic,         // a snapshot is put in use before it is durable
    kProposalTwice,             // what was sent to an old leader is sent again at once
    kRevisionSplit,             // a watch from history cuts a revision in two
    kVoteForOldLog,             // votes do not look at the candidate's log
    kAsideSeenEarly,            // reads see what is still being applied aside
    kCompactUnsynced,           // the log is dropped before the database is synced
    kLeaseNotExtended,          // a new leader goes by the deadlines that it last knew
    kReadBeforeApplied,         // reads are served before they are applied
    kUnfinishedStays,           // what a crash left of a deletion in slices stays
};

#ifdef COXSWAIN_PLANTED_BUGS
// Whether this one is planted.
bool planted(PlantedBug bug);
// By its name, as in kPlantedBugs below; false: there is none of that name.
bool plant(std::string_view name);
#else
constexpr bool planted(PlantedBug) {
    return false;
}
#endif

struct PlantedBugName {
    PlantedBug bug;
    const char* name;
};
inline constexpr PlantedBugName kPlantedBugs[] = {
    {PlantedBug::kCommitWithoutQuorum, "commit-without-quorum"},
    {PlantedBug::kVoteNotSynced, "vote-not-synced"},
    {PlantedBug::kStaleReadIndex, "stale-read-index"},
    {PlantedBug::kLearnerCounts, "learner-counts"},
    {PlantedBug::kAcknowledgeBeforeDurable, "acknowledge-before-durable"},
    {PlantedBug::kAppliedApart, "applied-apart"},
    {PlantedBug::kCommitOldTerm, "commit-old-term"},
    {PlantedBug::kWatchLosesDelete, "watch-loses-delete"},
    {PlantedBug::kStalledLeaderRevokes, "stalled-leader-revokes"},
    {PlantedBug::kTailCutTooFar, "tail-cut-too-far"},
    {PlantedBug::kSnapshotNotAtomic, "snapshot-not-atomic"},
    {PlantedBug::kProposalTwice, "proposal-twice"},
    {PlantedBug::kRevisionSplit, "revision-split"},
    {PlantedBug::kVoteForOldLog, "vote-for-old-log"},
    {PlantedBug::kAsideSeenEarly, "aside-seen-early"},
    {PlantedBug::kCompactUnsynced, "compact-unsynced"},
    {PlantedBug::kLeaseNotExtended, "lease-not-extended"},
    {PlantedBug::kReadBeforeApplied, "read-before-applied"},
    {PlantedBug::kUnfinishedStays, "unfinished-stays"},
};

}  // namespace base
