using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Identity;
using Microsoft.Extensions.Options;
using Tandem.Core.Http;

namespace Tandem.Users.Passkeys;

/// <summary>
/// WebAuthn (Level 3, chapter 7), done by ASP.NET Core: what a browser is asked, and whether its answer is right. Nothing here reads or writes a store: the framework takes every exception for an answer that is
/// wrong, and a database that is down must not be one. What it has to know is handed to it.
/// </summary>
sealed class Ceremonies(UsersOptions options)
{
    readonly IOptions<IdentityPasskeyOptions> _rules = Options.Create(new IdentityPasskeyOptions
    {
        AuthenticatorTimeout = PasskeyTable.Lifetime,
        ServerDomain = options.PasskeyHost,
        // A passkey takes the place of a password and of a second step: it is found without an e-mail, and its device asks for a finger, a face or a PIN.
        ResidentKeyRequirement = "required",
        UserVerificationRequirement = "required",
        // Who made the authenticator is not asked: nobody here would decide by it, and people are asked for their consent to it.
        AttestationConveyancePreference = "none",
        ValidateOrigin = context => ValueTask.FromResult(!context.CrossOrigin && options.MayUsePasskeysAt(context.Origin)),
    });

    /// <summary>What <c>navigator.credentials.create()</c> is given.</summary>
    /// <param name="owner">Whose the new passkey is to be.</param>
    /// <param name="known">The owner's passkeys: no authenticator makes a second one beside them.</param>
    public async Task<PasskeyCreationOptionsResult> BeginNewAsync(PasskeyUserEntity owner, IReadOnlyList<UserPasskeyInfo> known, HttpContext http)
    {
        RequireName();
        using var users = new Known(owner.Id, known);
        return await Handler(users).MakeCreationOptionsAsync(owner, http);
    }

    /// <summary>What <c>navigator.credentials.get()</c> is given: anybody, who says by the passkey who he is.</summary>
    public async Task<PasskeyRequestOptionsResult> BeginAsync(HttpContext http)
    {
        RequireName();
        using var users = new Known("", []);
        return await Handler(users).MakeRequestOptionsAsync(null, http);
    }

    /// <summary>Is this the answer of <c>create()</c> to what was begun?</summary>
    /// <param name="credential">As JSON.</param>
    /// <param name="state">Of the beginning.</param>
    /// <returns>With the passkey, unless it is not. Whether somebody has it already is not looked at.</returns>
    public async Task<PasskeyAttestationResult> CheckNewAsync(string credential, string state, HttpContext http)
    {
        using var users = new Known("", []);
        return await Handler(users).PerformAttestationAsync(new PasskeyAttestationContext { HttpContext = http, CredentialJson = credential, AttestationState = state });
    }

    /// <summary>Is this the answer of <c>get()</c> to what was begun, by a passkey that is known?</summary>
    /// <param name="handle">The handle of the passkey's owner.</param>
    /// <returns>With the passkey's new counter, unless it is not. The counter is compared where it is stored: of two answers at once one is the later.</returns>
    public async Task<PasskeyAssertionResult<PasskeyOwner>> CheckAsync(string credential, string state, string handle, UserPasskeyInfo known, HttpContext http)
    {
        using var users = new Known(handle, [known]);
        return await Handler(users).PerformAssertionAsync(new PasskeyAssertionContext { HttpContext = http, CredentialJson = credential, AssertionState = state });
    }

    void RequireName()
    {
        if (_rules.Value.ServerDomain is null)
            throw new ProblemException(UserProblems.NoPasskeyDomain);
    }

    PasskeyHandler<PasskeyOwner> Handler(Known known) => new(known.Manager, _rules);

    /// <summary>What the framework looks up: one owner, and some passkeys. It asks a UserManager, which asks this; the rest of Identity is never asked for, and not there.</summary>
    sealed class Known : IUserPasskeyStore<PasskeyOwner>
    {
        readonly PasskeyOwner _owner;
        readonly IReadOnlyList<UserPasskeyInfo> _passkeys;

        public Known(string handle, IReadOnlyList<UserPasskeyInfo> passkeys)
        {
            (_owner, _passkeys) = (new PasskeyOwner(handle), passkeys);
            // Passwords, normalised names, messages and services: parts that no passkey takes. The constructor takes null for each.
            Manager = new UserManager<PasskeyOwner>(this, Options.Create(new IdentityOptions()), null!, [], [], null!, null!, null!, null!);
        }

        public UserManager<PasskeyOwner> Manager { get; }

        public Task<PasskeyOwner?> FindByIdAsync(string userId, CancellationToken cancellationToken) => Task.FromResult(userId == _owner.Handle ? _owner : null);

        public Task<string> GetUserIdAsync(PasskeyOwner user, CancellationToken cancellationToken) => Task.FromResult(user.Handle);

        public Task<IList<UserPasskeyInfo>> GetPasskeysAsync(PasskeyOwner user, CancellationToken cancellationToken) => Task.FromResult<IList<UserPasskeyInfo>>([.. _passkeys]);

        public Task<UserPasskeyInfo?> FindPasskeyAsync(PasskeyOwner user, byte[] credentialId, CancellationToken cancellationToken) =>
            Task.FromResult(_passkeys.FirstOrDefault(p => p.CredentialId.AsSpan().SequenceEqual(credentialId)));

        // Whether anybody has a new passkey already is decided by the unique index, where it is written.
        public Task<PasskeyOwner?> FindByPasskeyIdAsync(byte[] credentialId, CancellationToken cancellationToken) => Task.FromResult<PasskeyOwner?>(null);

        public Task AddOrUpdatePasskeyAsync(PasskeyOwner user, UserPasskeyInfo passkey, CancellationToken cancellationToken) => throw Unasked();

        public Task RemovePasskeyAsync(PasskeyOwner user, byte[] credentialId, CancellationToken cancellationToken) => throw Unasked();

        public Task<string?> GetUserNameAsync(PasskeyOwner user, CancellationToken cancellationToken) => throw Unasked();

        public Task SetUserNameAsync(PasskeyOwner user, string? userName, CancellationToken cancellationToken) => throw Unasked();

        public Task<string?> GetNormalizedUserNameAsync(PasskeyOwner user, CancellationToken cancellationToken) => throw Unasked();

        public Task SetNormalizedUserNameAsync(PasskeyOwner user, string? normalizedName, CancellationToken cancellationToken) => throw Unasked();

        public Task<PasskeyOwner?> FindByNameAsync(string normalizedUserName, CancellationToken cancellationToken) => throw Unasked();

        public Task<IdentityResult> CreateAsync(PasskeyOwner user, CancellationToken cancellationToken) => throw Unasked();

        public Task<IdentityResult> UpdateAsync(PasskeyOwner user, CancellationToken cancellationToken) => throw Unasked();

        public Task<IdentityResult> DeleteAsync(PasskeyOwner user, CancellationToken cancellationToken) => throw Unasked();

        // The manager disposes of its store, which is this.
        public void Dispose()
        {
        }

        static NotSupportedException Unasked() => new("A passkey handler only looks passkeys up.");
    }
}

/// <param name="Handle">Stands for the account in people's devices: 256 random bits.</param>
sealed record PasskeyOwner(string Handle);
