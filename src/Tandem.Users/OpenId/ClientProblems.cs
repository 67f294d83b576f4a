using Tandem.Core.Http;

namespace Tandem.Users.OpenId;

/// <summary>Every error that has to do with clients and their sign-ins.</summary>
static class ClientProblems
{
    public static readonly Problem IdTaken = new("users/client-id-taken", 409, "There is a client of this id already; take another, or remove that one first.");
    public static readonly Problem NotFound = new("users/client-not-found", 404, "Client not found");
    public static readonly Problem RegistrationOff = new("users/registration-off", 403, "Clients do not register themselves here (Users:DynamicRegistration); an administrator does it: POST /clients or tandem client create.");
    public static readonly Problem RegistrationWantsToken = new("users/registration-token-needed", 401, "A client registers itself with a bearer token of the scope clients:write, such as an API key that an administrator has made for it.");
    public static readonly Problem InvalidRegistrationToken = new("users/invalid-registration-token", 401, "The bearer token must be the registration_access_token that the client was given when it registered itself.");
    public static readonly Problem InvalidRedirectUri = new("users/invalid-redirect-uri", 400, "redirect_uris are not valid.");
    public static readonly Problem InvalidMetadata = new("users/invalid-client-metadata", 400, "What the client says of itself is not valid.");
    public static readonly Problem TooManyRegistered = new("users/too-many-clients", 503, "As many clients have registered themselves as Users:MaxRegisteredClients allows; an administrator has to remove some.");
    public static readonly Problem InvalidCode =
        new("users/invalid-code", 400, "The authorization code is not valid, has expired, was used before, or belongs to another client; start again at /authorize.");
    public static readonly Problem InvalidDeviceCode = new("users/invalid-device-code", 400, "The device code is not valid, was used before, or belongs to another client; start again at /device/code.");
    public static readonly Problem DevicePending = new("users/device-pending", 400, "Nobody has let the device in yet; ask again after the interval.");
    public static readonly Problem DeviceTooFast = new("users/device-too-fast", 400, "The device asks too often; wait five seconds longer from now on.");
    public static readonly Problem DeviceDenied = new("users/device-denied", 400, "The person does not let the device in.");
    public static readonly Problem DeviceCodeExpired = new("users/device-code-expired", 400, "Nobody has let the device in in time; start again at /device/code.");
    public static readonly Problem InvalidSubjectToken = new("users/invalid-subject-token", 400, "subject_token is no access token of a person here, has expired, its session has ended, or it is not for this client to exchange.");
    public static readonly Problem ScopeNotInToken = new("users/scope-not-in-token", 400, "An exchanged token gets no more than the token it is made of and the client have; leave scope out, or name fewer.");
    public static readonly Problem InvalidAuthorization = new("users/invalid-authorization-request", 400, "The request to sign in is not valid; the application that sent it has to be set right.");
    public static readonly Problem InvalidSignOut = new("users/invalid-sign-out-request", 400, "The request to sign out is not valid; the application that sent it has to be set right.");
    public static readonly Problem InvalidRequest = new("users/invalid-client-request", 400, "The request is not valid.");
    public static readonly Problem InvalidToken = new("users/invalid-access-token", 401, "The access token is missing, not valid, has expired or its session has ended.");
    public static readonly Problem InsufficientScope = new("users/insufficient-scope", 403, "The access token lacks the scope openid.");
}
