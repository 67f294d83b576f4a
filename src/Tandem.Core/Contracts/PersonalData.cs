namespace Tandem.Core.Contracts;

/// <summary>
/// What a module holds on people. Whatever is kept under an account's number is exported and erased through one of these, registered in <see cref="Module.Add"/>:
/// <c>module.Services.AddSingleton&lt;IPersonalData, NotesOfPeople&gt;()</c>.
/// </summary>
public interface IPersonalData
{
    /// <summary>Its part of an export, snake_case: as a rule the module's name.</summary>
    string Name { get; }

    /// <summary>Everything that is held on a person and that the person may see: no secret, and nothing of somebody else's. Records of one kind come one after the other.</summary>
    /// <param name="accountId">The account; it may be gone already.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    IAsyncEnumerable<PersonalRecord> ReadAsync(long accountId, CancellationToken cancellationToken);

    /// <summary>Removes it all, or in what has to stay whatever tells who it was. It may run a second time after a crash; the account itself goes last.</summary>
    /// <param name="accountId">The account.</param>
    /// <param name="cancellationToken">Ends the work between two steps.</param>
    Task EraseAsync(long accountId, CancellationToken cancellationToken);
}

/// <summary>One thing that is held on a person.</summary>
/// <param name="Kind">The list of the export that it stands in, snake_case: <c>sessions</c>.</param>
/// <param name="Value">Written as JSON with snake_case names.</param>
public sealed record PersonalRecord(string Kind, object Value);
