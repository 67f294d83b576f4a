using Tandem.Core.Http;

namespace Tandem.Users;

/// <summary>Every error the users module answers with.</summary>
static class UserProblems
{
    public static readonly Problem EmailTaken = new("users/email-taken", 400, "Email already registered");
    public static readonly Problem NotFound = new("users/not-found", 404, "User not found");
    public static readonly Problem SignUpClosed = new("users/sign-up-closed", 403, "Sign-up is switched off here; ask an administrator for an account.");
    public static readonly Problem NotYours = new("users/not-yours", 403, "A person may read and change itself; for others it takes an administrator or the scope.");
    public static readonly Problem LastAdministrator =
        new("users/last-administrator", 409, "This is the last active administrator; make another one first: tandem user create EMAIL --admin.");
    public static readonly Problem Busy = new("users/busy", 503, "Too many passwords are waiting to be checked; try again after the time in Retry-After.");
    public static readonly Problem InvalidGrant = new("users/invalid-grant", 400, "The e-mail or the password is wrong, or the account is not active.");
    public static readonly Problem InvalidRefreshToken = new("users/invalid-refresh-token", 400, "The refresh token is not valid, has expired or was used before; sign in again.");
    public static readonly Problem InvalidTokenRequest = new("users/invalid-token-request", 400, "The token request is not valid.");
    public static readonly Problem InvalidClient = new("users/invalid-client", 401, "The client is not known, or its secret is not right.");
    public static readonly Problem FormWanted = new("users/form-wanted", 415, "Send username and password as a form: Content-Type: application/x-www-form-urlencoded.");
    public static readonly Problem SessionNotFound = new("users/session-not-found", 404, "Session not found; it may have ended already.");
    public static readonly Problem KeyNotFound = new("users/key-not-found", 404, "API key not found; it may have been revoked already.");
    public static readonly Problem SessionWanted = new("users/session-wanted", 403, "An API key or a client may not do this; sign in for it.");
    public static readonly Problem Impersonated = new("users/impersonated", 403, "Whoever acts as somebody else may not do this; only the person may.");
    public static readonly Problem NotImpersonated = new("users/not-impersonated", 409, "Only active accounts of persons are impersonated: no administrator's, and not your own.");
    public static readonly Problem ImpersonationOff = new("users/impersonation-off", 403, "Nobody may act as somebody else here (Users:ImpersonationLifetime is 0).");
    public static readonly Problem OrganisationNotFound = new("users/organisation-not-found", 404, "There is no such organisation, or you do not belong to it.");
    public static readonly Problem OrganisationTaken = new("users/organisation-taken", 409, "There is an organisation with this slug already; take another.");
    public static readonly Problem TooManyOrganisations = new("users/too-many-organisations", 409, "The account belongs to as many organisations as Users:OrganisationsPerAccount allows; leave one first.");
    public static readonly Problem TooManyMembers = new("users/too-many-members", 409, "The organisation has as many members as Users:MembersPerOrganisation allows.");
    public static readonly Problem TooManyInvitations = new("users/too-many-invitations", 409, "As many invitations wait as Users:InvitationsPerOrganisation allows; take one back first.");
    public static readonly Problem NotAMember = new("users/not-a-member", 404, "That account does not belong to the organisation; invite it: POST /organisations/{id}/invitations.");
    public static readonly Problem AlreadyAMember = new("users/already-a-member", 409, "Whoever has this e-mail belongs to the organisation already.");
    public static readonly Problem RoleNotHeld = new("users/role-not-held", 403, "Your role in the organisation does not allow this: admins change what is below owners, owners everything.");
    public static readonly Problem LastOwner = new("users/last-owner", 409, "This is the last owner of an organisation that others belong to; make another one first, or delete the organisation.");
    public static readonly Problem InvitationNotFound = new("users/invitation-not-found", 404, "There is no such invitation, or it has expired or was answered.");
    public static readonly Problem EmailUnconfirmed = new("users/email-unconfirmed", 403, "Confirm your e-mail first: POST /auth/email/verification mails you a link.");
    public static readonly Problem ScopeNotHeld = new("users/scope-not-held", 403, "A key gets no more than its owner and the token it is made with have: leave scopes out, or name fewer.");
    public static readonly Problem TooManyKeys = new("users/too-many-keys", 409, "The account has as many API keys as Users:KeysPerAccount allows; revoke one first.");
    public static readonly Problem SignInTooOld = new("users/sign-in-too-old", 401,
        "This takes a sign-in that is not older than Users:StepUpAfter: POST /auth/confirmation with your password, or with a code where the account has a second step, and send this request again.");
    public static readonly Problem SecondStepWanted = new("users/second-step-wanted", 403,
        "The account has a second step: POST /token with grant_type=urn:tandem:second-step, this handle, and the code of the authenticator app or a recovery code.");
    public static readonly Problem SecondStepIsOn = new("users/second-step-is-on", 409, "The account has an authenticator app; remove it first: DELETE /auth/totp.");
    public static readonly Problem SecondStepIsOff = new("users/second-step-is-off", 404, "The account has no second step.");
    public static readonly Problem WrongCode = new("users/wrong-code", 400, "The code is wrong, was used before, has expired or was tried too often.");
    public static readonly Problem WrongPassword = new("users/wrong-password", 400, "The password is wrong.");
    public static readonly Problem PasskeyRefused = new("users/passkey-refused", 400,
        "The passkey is not known here, or its answer does not fit what was asked: it is another site's, took longer than five minutes, or was given before. Ask for new options and try again.");
    public static readonly Problem PasskeyTaken = new("users/passkey-taken", 409, "This passkey is registered already.");
    public static readonly Problem PasskeyNotFound = new("users/passkey-not-found", 404, "Passkey not found; it may have been removed already.");
    public static readonly Problem TooManyPasskeys = new("users/too-many-passkeys", 409, "The account has as many passkeys as Users:PasskeysPerAccount allows; remove one first.");
    public static readonly Problem LastWayIn = new("users/last-way-in", 409, "Nothing would be left to sign in with: set a password first (PUT /auth/password), or add a passkey.");
    public static readonly Problem NoPasskeyDomain = new("users/no-passkey-domain", 409, "Browsers keep passkeys for names, not for addresses: set Users:PublicUrl or Users:PasskeyDomain to a name.");
    public static readonly Problem UpstreamNotFound = new("users/upstream-not-found", 404, "No provider of this name is set up here.");
    public static readonly Problem UpstreamRefused = new("users/upstream-refused", 400, "The sign-in by another provider came to nothing; begin again.");
    public static readonly Problem UpstreamUnavailable = new("users/upstream-unavailable", 502, "The provider cannot be asked, or its answer cannot be used; try again later.");
    public static readonly Problem UpstreamTaken = new("users/upstream-taken", 409, "This login opens another account here already; remove it there first.");
    public static readonly Problem UpstreamLoginNotFound = new("users/upstream-login-not-found", 404, "Login not found; it may have been removed already.");
    public static readonly Problem EmailNotVerified = new("users/email-not-verified", 403, "Confirm your e-mail first, with the link that was mailed to it; POST /auth/email/verification has another one sent.");
    public static readonly Problem LinkInvalid = new("users/link-invalid", 400, "The link does not work, or no longer: it works once, and not for long. Ask for a new one.");
    public static readonly Problem NoExport = new("users/no-export", 404, "No export of this account is ready: POST to the same address starts one, and GET /jobs/{id} tells how far it is.");
    public static readonly Problem ListParameter = new("users/list-parameter", 400, "A parameter of the list is not what it may be; see errors.");
    public static readonly Problem SearchNotReady = new("users/search-not-ready", 503, "Many accounts have been added at once and cannot be searched yet; try again after the time in Retry-After.");
    public static readonly Problem SetupClosed = new("users/setup-closed", 404, "This link does not work, or no longer: it makes the first administrator, once. The server prints it on start.");
}
