using Tandem.Bench.Processes;

namespace Tandem.Tests.Bench;

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
    public async Task Files_that_another_process_of_the_same_runtime_has_mapped_are_told_apart()
    {
        await using var stranger = Child.Start(["sh", "-c", "echo ready; read again"], "/dev/null", talks: true);
        Assert.Equal("ready", await stranger.HearAsync(Ct));
        Assert.Equal(0, ProcessTree.SharedWithUs(stranger.Id));

        using var same = Programs.StartBy([], ["bench", "child", "work", "fib"]);
        try
        {
            Assert.Equal("ready", await same.StandardOutput.ReadLineAsync(Ct));
            // The runtime's libraries alone are more than that, and this process uses them as well.
            Assert.InRange(ProcessTree.SharedWithUs(same.Id), 1_000_000, ProcessTree.PeakResident(same.Id));
        }
        finally
        {
            same.Kill();
        }
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
