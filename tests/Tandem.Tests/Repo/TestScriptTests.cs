using System.Diagnostics;

namespace Tandem.Tests.Repo;

/// <summary>What <c>./test</c> makes of what its runners say.</summary>
public sealed class TestScriptTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_end_names_every_failed_test_and_the_last_line_counts()
    {
        var said = await RunAsync("""
            suite() { cat << 'END'
              Starting:    Suite
                Suite.Shelf.It_holds [SKIP]
                  The machine has no shelf.
                Suite.Shelf.It_stands(legs: 3) [FAIL]
                  Assert.True() Failure
                  Expected: True
                  Stack Trace:
                    Shelf.cs(7,0): at Suite.Shelf.It_stands()
                Suite.Shelf.It_is_long [FAIL]
                  Assert.Equal() Failure: Values differ
                [Test Class Cleanup Failure (Suite.Shelf)] System.IO.IOException
                  The shelf is in the way.
            === TEST EXECUTION SUMMARY ===
               Suite  Total: 5, Errors: 1, Failed: 2, Skipped: 1, Not Run: 0, Time: 1.837s
            END
            return 1; }
            dead() { return 134; }
            fine() { echo "   Fine  Total: 2, Errors: 0, Failed: 0, Skipped: 0, Not Run: 0, Time: 1.837s"; }
            run "on shelves" suite; run "on nothing" dead; run "on the floor" fine
            """);

        Assert.Equal("""
            == failed on shelves
                Suite.Shelf.It_stands(legs: 3) [FAIL]
                  Assert.True() Failure
                Suite.Shelf.It_is_long [FAIL]
                  Assert.Equal() Failure: Values differ
                [Test Class Cleanup Failure (Suite.Shelf)] System.IO.IOException
                  The shelf is in the way.
            == failed on nothing
                dead ended with code 134
            3 passed, 4 failed

            """.ReplaceLineEndings("\n"), said[said.IndexOf("== failed", StringComparison.Ordinal)..]);
    }

    [Fact]
    public async Task Where_all_passed_only_the_last_line_follows() =>
        Assert.EndsWith("1.837s\n2 passed, 0 failed\n",
            await RunAsync("""fine() { echo "   Fine  Total: 2, Errors: 0, Failed: 0, Skipped: 0, Not Run: 0, Time: 1.837s"; }; run "on the floor" fine"""));

    /// <summary>With runners of the test's own in the place of the suites.</summary>
    static async Task<string> RunAsync(string runs)
    {
        Assert.SkipUnless(File.Exists("/bin/bash"), "./test is a script for bash.");
        var script = File.ReadAllText(Path.Combine(Repository.Root, "test"));
        var begin = script.IndexOf("passed=0 failed=0 ran=0", StringComparison.Ordinal);
        var runner = script[begin..script.IndexOf("program() {", StringComparison.Ordinal)];
        var end = script[script.IndexOf("# A filter that met nothing", StringComparison.Ordinal)..];
        using var bash = Process.Start(new ProcessStartInfo("/bin/bash", ["-uc", $"set -o pipefail; filter=(); work=$(mktemp -d); trap 'rm -rf \"$work\"' EXIT\n{runner}\n{runs}\n{end}"]) { RedirectStandardOutput = true })!;
        var said = await bash.StandardOutput.ReadToEndAsync(Ct);
        await bash.WaitForExitAsync(Ct);
        return said;
    }
}
