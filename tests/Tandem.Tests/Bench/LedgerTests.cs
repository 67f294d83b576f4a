using System.Diagnostics;

namespace Tandem.Tests.Bench;

/// <summary>A short form of bench/ledger: processes are killed under writers, and what was acknowledged is looked for.</summary>
public sealed class LedgerTests
{
    static CancellationToken Ct => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Ten_kills_lose_and_double_nothing()
    {
        // Within 30 s, not 5: the other tests share the cores, and each start of a process waits for them.
        using var ledger = Process.Start(new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "Tandem.Ledger"), ["--shape", TestStores.OnPostgres ? "postgres" : "embedded", "--kills", "10", "--seconds", "40", "--within", "30"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        }) ?? throw new InvalidOperationException("The ledger did not start.");
        try
        {
            var (said, complained) = (ledger.StandardOutput.ReadToEndAsync(Ct), ledger.StandardError.ReadToEndAsync(Ct));
            await ledger.WaitForExitAsync(Ct);

            Assert.True(ledger.ExitCode == 0, await said + await complained);
        }
        finally
        {
            if (!ledger.HasExited)
                ledger.Kill(entireProcessTree: true);
        }
    }
}
