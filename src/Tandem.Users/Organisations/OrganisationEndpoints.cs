using System.ComponentModel.DataAnnotations;
using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Routing;
using Tandem.Core;
using Tandem.Core.Contracts;
using Tandem.Core.Http;
using Tandem.Users.Audit;
using Tandem.Users.SecondSteps;

namespace Tandem.Users.Organisations;

static class OrganisationEndpoints
{
    public static void MapOrganisations(this IEndpointRouteBuilder routes)
    {
        var all = routes.MapGroup("/organisations").WithTags("Organisations");
        all.MapPost("", Add).WithSummary("Make an organisation; you are its first owner").Answers(UserProblems.SessionWanted, UserProblems.Impersonated, UserProblems.OrganisationTaken, UserProblems.TooManyOrganisations);
        all.MapGet("", List).WithSummary("Those that you belong to; all=true: every one, for administrators and the scope users:read").Paged();

        var one = all.MapGroup("{id}").Answers(UserProblems.OrganisationNotFound);
        one.MapGet("", Get).WithSummary("An organisation, by id or slug, and what you are in it");
        one.MapPatch("", Change).WithSummary("Change its name or slug: owners and admins").Answers(UserProblems.RoleNotHeld, UserProblems.OrganisationTaken);
        one.MapDelete("", Remove).WithSummary("Delete it, for everybody: owners").FreshSignIn().Answers(UserProblems.RoleNotHeld);
        one.MapGet("members", Members).WithSummary("Who belongs to it").Paged();
        one.MapPut("members/{user}", Set).WithSummary("Give a member another role, none above your own").Answers(UserProblems.NotAMember, UserProblems.RoleNotHeld, UserProblems.LastOwner, UserProblems.TooManyMembers);
        one.MapDelete("members/{user}", PutOut).WithSummary("Put a member out; yourself: leave").Answers(UserProblems.NotAMember, UserProblems.RoleNotHeld, UserProblems.LastOwner);
        one.MapPost("invitations", Invite).WithSummary("Invite whoever has an e-mail: it is mailed there, once more when it was before")
            .Answers(UserProblems.RoleNotHeld, UserProblems.AlreadyAMember, UserProblems.TooManyInvitations, HttpProblems.TooManyRequests);
        one.MapGet("invitations", Invitations).WithSummary("Who was invited and has not answered").Answers(UserProblems.RoleNotHeld);
        one.MapDelete("invitations/{invitation}", Withdraw).WithSummary("Take an invitation back").Answers(UserProblems.RoleNotHeld, UserProblems.InvitationNotFound);

        var own = routes.MapGroup("/invitations").WithTags("Organisations").InPerson();
        own.MapGet("", Own).WithSummary("What you are invited to at your e-mail").Answers(UserProblems.NotFound);
        own.MapPost("{id}/acceptance", Accept).WithSummary("Join; your e-mail has to be confirmed").Answers(UserProblems.InvitationNotFound, UserProblems.EmailUnconfirmed, UserProblems.TooManyOrganisations, UserProblems.TooManyMembers);
        own.MapDelete("{id}", Decline).WithSummary("Decline").Answers(UserProblems.InvitationNotFound, UserProblems.EmailUnconfirmed);
    }

    static async Task<Results<Created<OrganisationView>, ProblemResult>> Add(NewOrganisation organisation, Caller caller, Origin origin, OrganisationTable organisations, TimeProvider clock, CancellationToken ct)
    {
        if (KeyEndpoints.NotInPerson(caller) is { } refusal)
            return Problem.Of(refusal);
        var made = await organisations.AddAsync(organisation, caller.AccountId, origin, clock.UtcNow(), ct);
        return TypedResults.Created($"/organisations/{made.Id}", OrganisationView.Of(made));
    }

    static async Task<Results<Ok<OrganisationView[]>, ProblemResult>> List(Caller caller, OrganisationTable organisations, HttpContext context, bool all = false,
        [Range(0, int.MaxValue)] int skip = 0, [Range(1, Paging.MaxLimit)] int limit = Paging.DefaultLimit, CancellationToken ct = default)
    {
        if (all && !caller.May(UserEndpoints.Read))
            return Problem.Of(HttpProblems.Forbidden, $"all takes an administrator or the scope {UserEndpoints.Read}.");
        var (page, total) = await organisations.ListAsync(all ? null : caller.AccountId, skip, limit, ct);
        Paging.Describe(context, skip, limit, total);
        return TypedResults.Ok(page.Select(OrganisationView.Of).ToArray());
    }

    static async Task<Ok<OrganisationView>> Get(string id, Caller caller, OrganisationTable organisations, CancellationToken ct) =>
        TypedResults.Ok(OrganisationView.Of(await FindAsync(id, caller, organisations, ct)));

    static async Task<Results<Ok<OrganisationView>, ProblemResult>> Change(string id, OrganisationChange change, Caller caller, Origin origin, OrganisationTable organisations, TimeProvider clock, CancellationToken ct) =>
        await organisations.ChangeAsync(await ManagedAsync(id, OrganisationRole.Admin, caller, organisations, ct), change, origin, clock.UtcNow(), ct) is { } changed
            ? TypedResults.Ok(OrganisationView.Of(changed))
            : Problem.Of(UserProblems.OrganisationNotFound);

    static async Task<Results<NoContent, ProblemResult>> Remove(string id, Caller caller, Origin origin, OrganisationTable organisations, TimeProvider clock, CancellationToken ct) =>
        await organisations.RemoveAsync((await ManagedAsync(id, OrganisationRole.Owner, caller, organisations, ct)).Id, origin, clock.UtcNow(), ct)
            ? TypedResults.NoContent()
            : Problem.Of(UserProblems.OrganisationNotFound);

    static async Task<Ok<MemberView[]>> Members(string id, Caller caller, OrganisationTable organisations, HttpContext context,
        [Range(0, int.MaxValue)] int skip = 0, [Range(1, Paging.MaxLimit)] int limit = Paging.DefaultLimit, CancellationToken ct = default)
    {
        var (page, total) = await organisations.MembersAsync((await FindAsync(id, caller, organisations, ct)).Id, skip, limit, ct);
        Paging.Describe(context, skip, limit, total);
        return TypedResults.Ok(page.Select(m => new MemberView(m.Id, m.Email, m.Name, OrganisationTable.RoleOf(m.Role)!.Value, m.CreatedAt)).ToArray()); // the column's own
    }

    static async Task<NoContent> Set(string id, long user, RoleChange change, Caller caller, Origin origin, OrganisationTable organisations, TimeProvider clock, CancellationToken ct)
    {
        var organisation = await ManagedAsync(id, OrganisationRole.Admin, caller, organisations, ct);
        await organisations.SetAsync(organisation.Id, user, change.Role, caller, origin, clock.UtcNow(), ct);
        return TypedResults.NoContent();
    }

    static async Task<NoContent> PutOut(string id, long user, Caller caller, Origin origin, OrganisationTable organisations, TimeProvider clock, CancellationToken ct)
    {
        var organisation = user == caller.AccountId ? await FindAsync(id, caller, organisations, ct) : await ManagedAsync(id, OrganisationRole.Admin, caller, organisations, ct);
        await organisations.PutOutAsync(organisation.Id, user, caller, origin, clock.UtcNow(), ct);
        return TypedResults.NoContent();
    }

    static async Task<Results<Created<InvitationView>, ProblemResult>> Invite(string id, NewInvitation asked, Caller caller, Origin origin, OrganisationTable organisations, UsersOptions options, IRateLimits limits,
        HttpContext context, TimeProvider clock, CancellationToken ct)
    {
        var organisation = await ManagedAsync(id, OrganisationRole.Admin, caller, organisations, ct);
        // Whoever is mailed to is not asked, so it counts like every mail that somebody else has sent.
        if (await limits.RefuseAsync(context, "invitations", UserTable.Fold(asked.Email), options.MailsPerEmail, TimeSpan.FromHours(1),
            "Too many invitations to this e-mail; try again after the time in Retry-After.") is { } refusal)
            return refusal;
        var made = await organisations.InviteAsync(organisation, asked.Email, asked.Role, caller, origin, clock.UtcNow(), ct);
        return TypedResults.Created($"/organisations/{organisation.Id}/invitations/{made.Id}", InvitationView.Of(made));
    }

    static async Task<Ok<InvitationView[]>> Invitations(string id, Caller caller, OrganisationTable organisations, TimeProvider clock, CancellationToken ct) =>
        TypedResults.Ok((await organisations.InvitationsAsync((await ManagedAsync(id, OrganisationRole.Admin, caller, organisations, ct)).Id, null, clock.UtcNow(), ct)).Select(InvitationView.Of).ToArray());

    static async Task<Results<NoContent, ProblemResult>> Withdraw(string id, Guid invitation, Caller caller, OrganisationTable organisations, CancellationToken ct)
    {
        var organisation = await ManagedAsync(id, OrganisationRole.Admin, caller, organisations, ct);
        return await organisations.WithdrawAsync(organisation.Id, invitation, caller, ct) ? TypedResults.NoContent() : Problem.Of(UserProblems.InvitationNotFound);
    }

    static async Task<Results<Ok<InvitationView[]>, ProblemResult>> Own(Caller caller, UserTable users, OrganisationTable organisations, TimeProvider clock, CancellationToken ct) =>
        await users.FindAsync(caller.AccountId, ct) is not { } account ? Problem.Of(UserProblems.NotFound)
        // What is to be seen of an organisation is for whoever has the mailbox.
        : !await users.IsVerifiedAsync(account.Id, ct) ? TypedResults.Ok<InvitationView[]>([])
        : TypedResults.Ok((await organisations.InvitationsAsync(null, account.Email, clock.UtcNow(), ct)).Select(InvitationView.Of).ToArray());

    static async Task<Results<Ok<OrganisationView>, ProblemResult>> Accept(Guid id, Caller caller, Origin origin, OrganisationTable organisations, TimeProvider clock, CancellationToken ct) =>
        await organisations.AnswerAsync(id, caller.AccountId, takes: true, origin, clock.UtcNow(), ct) is { } taken
            && await organisations.FindAsync($"{taken.OrganisationId}", caller, ct) is { } joined
            ? TypedResults.Ok(OrganisationView.Of(joined))
            : Problem.Of(UserProblems.InvitationNotFound);

    static async Task<Results<NoContent, ProblemResult>> Decline(Guid id, Caller caller, Origin origin, OrganisationTable organisations, TimeProvider clock, CancellationToken ct) =>
        await organisations.AnswerAsync(id, caller.AccountId, takes: false, origin, clock.UtcNow(), ct) is not null ? TypedResults.NoContent() : Problem.Of(UserProblems.InvitationNotFound);

    static async Task<Membership> FindAsync(string id, Caller caller, OrganisationTable organisations, CancellationToken ct) =>
        await organisations.FindAsync(id, caller, ct) ?? throw new ProblemException(UserProblems.OrganisationNotFound);

    /// <summary>One that the caller may change. Members learn that they may not; everybody else that there is none.</summary>
    static async Task<Membership> ManagedAsync(string id, OrganisationRole least, Caller caller, OrganisationTable organisations, CancellationToken ct)
    {
        var found = await FindAsync(id, caller, organisations, ct);
        return caller.May(UserEndpoints.Write) || OrganisationTable.RoleOf(found.Role) >= least ? found : throw new ProblemException(UserProblems.RoleNotHeld);
    }
}

/// <summary>An organisation to be made.</summary>
/// <param name="Slug">For addresses: 2 to 40 small letters, digits and hyphens, beginning with a letter and not ending with a hyphen.</param>
/// <param name="Name">1 to 200 characters, not only blanks.</param>
public sealed record NewOrganisation([Slug] string Slug, [NotBlank, MaxLength(200)] string Name);

/// <summary>What is to change; a field left out stays as it is.</summary>
public sealed record OrganisationChange
{
    /// <summary>As when it was made.</summary>
    [Slug, DisallowNull]
    public string? Slug { get; init; }

    /// <summary>1 to 200 characters, not only blanks.</summary>
    [NotBlank, MaxLength(200), DisallowNull]
    public string? Name { get; init; }
}

/// <summary>A member's new role.</summary>
/// <param name="Role">member, admin or owner.</param>
public sealed record RoleChange(OrganisationRole Role);

/// <summary>Who is to be invited.</summary>
/// <param name="Email">Whoever has it, once it is confirmed, may join.</param>
/// <param name="Role">As what: member, admin or owner, and none above your own.</param>
public sealed record NewInvitation([Email, MaxLength(254)] string Email, OrganisationRole Role = OrganisationRole.Member);

/// <summary>An organisation.</summary>
/// <param name="Id">Never changes.</param>
/// <param name="Slug">For addresses; may change.</param>
/// <param name="Name">What people call it.</param>
/// <param name="Role">What you are in it; null for an administrator who does not belong to it.</param>
/// <param name="CreatedAt">UTC.</param>
public sealed record OrganisationView(Guid Id, string Slug, string Name, OrganisationRole? Role, DateTime CreatedAt)
{
    internal static OrganisationView Of(Membership m) => new(m.Id, m.Slug, m.Name, OrganisationTable.RoleOf(m.Role), m.CreatedAt);
}

/// <summary>Somebody who belongs to an organisation.</summary>
/// <param name="UserId">The account.</param>
/// <param name="Email">Of the account.</param>
/// <param name="Name">Of the account.</param>
/// <param name="Role">member, admin or owner.</param>
/// <param name="Since">UTC.</param>
public sealed record MemberView(long UserId, string Email, string Name, OrganisationRole Role, DateTime Since);

/// <summary>An invitation that nobody has answered.</summary>
/// <param name="Id">What it is answered by.</param>
/// <param name="OrganisationId">To which.</param>
/// <param name="Organisation">Its name.</param>
/// <param name="Email">Whom.</param>
/// <param name="Role">As what.</param>
/// <param name="ExpiresAt">UTC.</param>
public sealed record InvitationView(Guid Id, Guid OrganisationId, string Organisation, string Email, OrganisationRole Role, DateTime ExpiresAt)
{
    internal static InvitationView Of(Invitation i) => new(i.Id, i.OrganisationId, i.Organisation, i.Email, OrganisationTable.RoleOf(i.Role)!.Value, i.ExpiresAt); // the column's own
}

/// <summary>Never to be taken for an id.</summary>
sealed partial class SlugAttribute : ValidationAttribute
{
    public SlugAttribute() => ErrorMessage = "must have 2 to 40 small letters, digits and hyphens, begin with a letter and not end with a hyphen";

    public override bool IsValid(object? value) => value is null || value is string text && Form().IsMatch(text) && !Guid.TryParse(text, out _);

    [GeneratedRegex(@"^[a-z][a-z0-9-]{0,38}[a-z0-9]\z", RegexOptions.CultureInvariant)]
    private static partial Regex Form();
}
