using Tandem.Bench.Processes;

namespace Tandem.Tests.Bench;

[Storeless("Processes that are watched.")]
public sealed class ProcessTreeTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_tree_is_counted_with_its_living_and_its_ended_members_and_ends_as_a_whole()
    {
        // One child computes and ends, one waits; and so does the root.
        const string Script = "sh -c 'i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done'; sleep 100 & echo computed; read again; sleep 100";
        var child = Child.Start(["sh", "-c", Script], "/dev/null", talks: true);
        Assert.Equal("computed", await child.HearAsync(Ct));

        var members = ProcessTree.Members(child.Id);
        Assert.Equal(2, members.Count);
        Assert.Equal(child.Id, members[0]);
        // Nobody who lives has done it: it is the time of the child that was waited for.
        Assert.InRange(ProcessTree.CpuSeconds(child.Id), 0.03, 30);
        Assert.InRange(ProcessTree.Proportional(child.Id), 50_000, 50_000_000);
        Assert.True(ProcessTree.PeakResident(child.Id) >= ProcessTree.Proportional(child.Id));

        await child.DisposeAsync();
        await Eventually.TrueAsync(() => Task.FromResult(members.All(HasEnded)));
        Assert.Empty(ProcessTree.Members(child.Id));
        Assert.Equal(0, ProcessTree.CpuSeconds(child.Id));
    }

    [Fact]
    public async Task Files_that_this_process_has_mapped_as_well_count_in_full_and_once_for_a_whole_tree()
    {
        var program = Path.Combine(AppContext.BaseDirectory, "Tandem.Server") + " bench child work fib";
        await using var one = Child.Start(["sh", "-c", $"{program}; :"], "/dev/null", talks: true);
        Assert.Equal("ready", await one.HearAsync(Ct));
        // The runtime's libraries alone are more than that, and this process uses them as well.
        Assert.InRange(ProcessTree.SharedWithUs(one.Id), 1_000_000, ProcessTree.PeakResident(one.Id));

        await using var two = Child.Start(["sh", "-c", $"sleep 100 | {program} & sleep 100 | {program}; :"], "/dev/null", talks: true);
        Assert.Equal(("ready", "ready"), (await two.HearAsync(Ct), await two.HearAsync(Ct)));
        // Both of the two have the same libraries, of which there is one.
        Assert.InRange(Whole(two), Whole(one), 2 * Whole(one) - 10_000_000);

        static long Whole(Child child) => ProcessTree.Proportional(child.Id) + ProcessTree.SharedWithUs(child.Id);
    }

    [Fact]
    public async Task A_program_that_ends_early_is_told_with_its_last_words()
    {
        var log = Path.GetTempFileName();
        await using var child = Child.Start(["sh", "-c", "echo out of luck >&2"], log, talks: true);
        var failure = await Assert.ThrowsAsync<Tandem.Bench.BenchException>(() => child.HearAsync(Ct));
        Assert.Contains("out of luck", failure.Message);
        File.Delete(log);
    }

    /// <summary>Gone, or waiting to be collected by whoever has inherited it.</summary>
    public static bool HasEnded(int id)
    {
        try
        {
            return File.ReadAllText($"/proc/{id}/cmdline").Length == 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return true;
        }
    }
}
