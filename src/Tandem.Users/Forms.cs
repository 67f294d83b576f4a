using Microsoft.AspNetCore.Http;
using Microsoft.Net.Http.Headers;
using Tandem.Core.Http;

namespace Tandem.Users;

/// <summary>Bodies as HTML forms and OAuth clients send them.</summary>
static class Forms
{
    public static bool IsUrlEncoded(HttpRequest request) =>
        MediaTypeHeaderValue.TryParse(request.ContentType, out var type) && type.MediaType.Equals("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase);

    /// <exception cref="ProblemException">It has too many fields, or one that is too long.</exception>
    public static async Task<IFormCollection> ReadAsync(HttpRequest request)
    {
        try
        {
            return await request.ReadFormAsync(request.HttpContext.RequestAborted);
        }
        catch (InvalidDataException e)
        {
            throw new ProblemException(HttpProblems.BadRequest, $"The form cannot be read: {e.Message}");
        }
    }
}
