using Tandem.Core.Files;

namespace Tandem.Inference.Models;

/// <summary>Models in the store of files: every process reads those of any other.</summary>
sealed class ModelFiles(IFileStore files)
{
    /// <summary>Stores the file; when it returns, a power cut cannot take it away.</summary>
    /// <returns>The digest it is found under.</returns>
    public async Task<string> SaveAsync(byte[] bytes, CancellationToken ct) => (await files.PutAsync(bytes, ct)).Digest;

    /// <summary>Reads a model and proves its golden rows.</summary>
    /// <exception cref="UnusableModelException">The file is missing, is not what it was, or does not do what it did.</exception>
    public async Task<Model> LoadAsync(string digest, CancellationToken ct)
    {
        try
        {
            return ModelFile.Read(await files.ReadAsync(digest, ModelFile.MaxBytes, ct));
        }
        catch (DamagedFileException e)
        {
            throw new UnusableModelException($"its file {digest} was changed since it was written", e);
        }
        catch (IOException e)
        {
            throw new UnusableModelException($"its file cannot be read: {e.Message}", e);
        }
    }
}
