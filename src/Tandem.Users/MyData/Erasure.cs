using Tandem.Core;
using Tandem.Core.Contracts;
using Tandem.Core.Data;
using Tandem.Core.Jobs;
using Tandem.Users.Audit;

namespace Tandem.Users.MyData;

/// <summary>Erases a person: what every module holds, and in the end the account.</summary>
/// <param name="AccountId">Whose.</param>
/// <param name="Origin">Who asked for it.</param>
[Job("users.erase")]
sealed record EraseAccount(long AccountId, Origin Origin);

sealed class Eraser(IEnumerable<IPersonalData> holders, UserTable users, TimeProvider clock) : IJobHandler<EraseAccount>
{
    public async Task RunAsync(JobRun<EraseAccount> run, CancellationToken cancellationToken)
    {
        var all = holders.ToList();
        foreach (var (i, holder) in all.Index())
        {
            run.Report((double)i / (all.Count + 1), $"erasing what {holder.Name} holds");
            await holder.EraseAsync(run.Job.AccountId, cancellationToken);
        }

        run.Report((double)all.Count / (all.Count + 1), "deleting the account");
        // With the job's end: nobody sees one without the other. The account may have been deleted meanwhile, which is as good.
        await run.CompleteAsync(tx => users.DeleteAsync(tx, run.Job.AccountId, clock.UtcNow(), run.Job.Origin, "erased with all data", CancellationToken.None));
    }
}
